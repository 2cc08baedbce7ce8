// SPDX-License-Identifier: Apache-2.0
/*
 * mcopen: an open-loop load generator for memcached.
 *
 * Requests are planned in advance (Poisson or evenly spaced arrivals) and each is sent at its planned
 * instant, whether or not earlier ones were answered: a slow server meets a growing queue, never a
 * client that waits for it. Latency counts from the *planned* instant, so neither a stalled server nor
 * a late client can hide anything. How late the client itself was is recorded beside it (lateness), to
 * tell whether a measurement says something of the server or only of the client.
 *
 * One request is a multi-get of K keys over one of N connections, taken in turn. It costs the client
 * one send and one receive, and memcached K look-ups: the client stays far lighter than the server.
 * All keys and values have one size, so the length of every answer is known in advance; its first and
 * last bytes are checked, a single missing key is an error and ends the run.
 *
 * One thread, one epoll. Requests that the socket does not take at once (a server that does not read)
 * wait in the connection's backlog in user space; the schedule goes on.
 *
 * With --period the schedule repeats: same instants, same connections, same keys. Two windows of that length see
 * the same load, wherever in it they begin, and differ by the server alone.
 *
 * The record file is a 16-byte header ("MCOPEN1\n", u32 record size, u32 zero) followed by `struct record`s
 * in the order of their answers, little-endian. Times are CLOCK_MONOTONIC nanoseconds, so other
 * programs' events stand on the same axis.
 *
 * SIGTERM or SIGINT ends the schedule; answers still due are awaited for --drain seconds, and what is
 * missing then is recorded as lost. The last line of stdout is one JSON object with totals.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum {
	KEY_BYTES = 7,        /* "k" and 6 digits */
	TEMPLATES = 256,      /* distinct requests, built once: the client spends nothing on choosing keys */
	RECORD_BATCH = 4096,  /* records kept before one write */
	RECEIVE_BYTES = 1 << 18,
	MAX_EVENTS = 64,
};

static const char END_MARK[] = "END\r\n";
#define END_BYTES (sizeof(END_MARK) - 1)

enum status { STATUS_OK = 0, STATUS_LOST = 1 };

/* One request. 24 bytes, read by bench/request_log.py. */
struct record {
	uint64_t scheduled_ns;
	uint64_t latency_ns;  /* planned instant -> answer read; for a lost one: -> the end of the run */
	uint32_t lateness_ns; /* planned instant -> handed to send(); saturates */
	uint16_t connection;
	uint16_t status;
};
_Static_assert(sizeof(struct record) == 24, "readers know this size");

struct settings {
	const char *socket_path;
	int port;
	int connections;
	double rate;
	bool poisson;
	uint64_t seed;
	int keys_per_request;
	int keyspace;
	int value_bytes;
	double period_s; /* 0: the schedule never repeats */
	double duration_s;
	double drain_s;
	const char *out_path;
	bool populate;
};

struct due {
	uint64_t scheduled_ns;
	uint32_t lateness_ns;
};

/* A connection and its requests under way, oldest first: a ring that doubles when full. */
struct connection {
	int fd;
	struct due *due;
	uint32_t capacity, head, count;
	uint64_t unread;            /* bytes of the oldest answer still to come */
	char tail[END_BYTES];       /* last bytes received */
	char *backlog;              /* bytes that the socket did not take yet */
	size_t backlog_bytes, backlog_capacity;
	bool watching_out;
};

struct client {
	struct settings set;
	struct connection *conns;
	int epoll_fd;
	char *requests[TEMPLATES];
	size_t request_bytes;
	uint64_t answer_bytes;
	uint64_t random;
	double period_end_ns;
	uint64_t planned; /* requests since the schedule last began */
	uint64_t sent, answered, lost, blocked, late_max_ns;
	uint32_t outstanding_max, outstanding;
	FILE *out;
	struct record batch[RECORD_BATCH];
	int batched;
};

static void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		die("out of memory (%zu x %zu bytes)", count, size);
	return memory;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* splitmix64: small, seedable, and the same everywhere. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static double next_gap_ns(struct client *client)
{
	double mean = 1e9 / client->set.rate;

	if (!client->set.poisson)
		return mean;
	/* 53 random bits in (0, 1]: the logarithm never sees zero. */
	double uniform = ((double)(next_random(&client->random) >> 11) + 1.0) * 0x1p-53;
	return -log(uniform) * mean;
}

/* The instant of the request after the one at `at_ns`. */
static double next_instant_ns(struct client *client, double at_ns)
{
	double next_ns = at_ns + next_gap_ns(client);

	client->planned++;
	if (client->set.period_s <= 0 || next_ns < client->period_end_ns)
		return next_ns;
	next_ns = client->period_end_ns;
	client->period_end_ns += client->set.period_s * 1e9;
	client->random = client->set.seed;
	client->planned = 0;
	return next_ns;
}

static int connect_server(const struct settings *set)
{
	int fd, one = 1;

	if (set->socket_path) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};

		if (strlen(set->socket_path) >= sizeof(address.sun_path))
			die("--socket %s: longer than %zu bytes", set->socket_path, sizeof(address.sun_path) - 1);
		strcpy(address.sun_path, set->socket_path);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
			die("cannot connect to %s: %s", set->socket_path, strerror(errno));
	} else {
		struct sockaddr_in address = {
			.sin_family = AF_INET,
			.sin_port = htons((uint16_t)set->port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		};

		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
			die("cannot connect to 127.0.0.1:%d: %s", set->port, strerror(errno));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	return fd;
}

static void send_all(int fd, const char *bytes, size_t count)
{
	while (count) {
		ssize_t n = send(fd, bytes, count, MSG_NOSIGNAL);

		if (n < 0)
			die("cannot populate: send: %s", strerror(errno));
		bytes += n;
		count -= (size_t)n;
	}
}

/* Store every key quietly, then wait for one answer: all earlier commands are done by then. */
static void populate(const struct settings *set)
{
	int fd = connect_server(set);
	char *value = allocate((size_t)set->value_bytes + 1, 1);
	char *command = allocate((size_t)set->value_bytes + 128, 1);
	char answer[8] = {0};
	size_t got = 0;

	memset(value, 'v', (size_t)set->value_bytes);
	for (int key = 0; key < set->keyspace; key++) {
		int length = sprintf(command, "set k%06d 0 0 %d noreply\r\n%s\r\n", key, set->value_bytes, value);

		send_all(fd, command, (size_t)length);
	}
	send_all(fd, "mn\r\n", 4);
	while (got < 4) {
		ssize_t n = recv(fd, answer + got, sizeof(answer) - 1 - got, 0);

		if (n <= 0)
			die("cannot populate: %s", n ? strerror(errno) : "the server closed the connection");
		got += (size_t)n;
	}
	if (strcmp(answer, "MN\r\n"))
		die("cannot populate: memcached answered '%s' instead of MN (1.6 or later is needed)", answer);
	close(fd);
	free(value);
	free(command);
}

/* Random keys of the whole key space, the same for the same seed. */
static void build_requests(struct client *client)
{
	const struct settings *set = &client->set;
	size_t size = 3 + (size_t)set->keys_per_request * (1 + KEY_BYTES) + 2;
	uint64_t random = set->seed ^ 0x6d636f70656e2121u;
	char header[64];

	for (int i = 0; i < TEMPLATES; i++) {
		char *at = client->requests[i] = allocate(size + 1, 1);

		at += sprintf(at, "get");
		for (int key = 0; key < set->keys_per_request; key++)
			at += sprintf(at, " k%06d", (int)(next_random(&random) % (uint64_t)set->keyspace));
		sprintf(at, "\r\n");
	}
	client->request_bytes = size;
	sprintf(header, "VALUE k%06d 0 %d\r\n", 0, set->value_bytes);
	client->answer_bytes =
		(uint64_t)set->keys_per_request * (strlen(header) + (size_t)set->value_bytes + 2) + END_BYTES;
}

static void watch(struct client *client, struct connection *conn, int operation, bool out)
{
	struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = conn};

	if (epoll_ctl(client->epoll_fd, operation, conn->fd, &event))
		die("epoll_ctl: %s", strerror(errno));
	conn->watching_out = out;
}

static void open_connections(struct client *client)
{
	client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (client->epoll_fd < 0)
		die("epoll_create1: %s", strerror(errno));
	client->conns = allocate((size_t)client->set.connections, sizeof(*client->conns));
	for (int i = 0; i < client->set.connections; i++) {
		struct connection *conn = &client->conns[i];

		conn->fd = connect_server(&client->set);
		conn->unread = client->answer_bytes;
		conn->capacity = 1024;
		conn->due = allocate(conn->capacity, sizeof(*conn->due));
		watch(client, conn, EPOLL_CTL_ADD, false);
	}
}

static void flush_records(struct client *client)
{
	size_t count = (size_t)client->batched;

	if (client->out && fwrite(client->batch, sizeof(struct record), count, client->out) != count)
		die("cannot write %s: %s", client->set.out_path, strerror(errno));
	client->batched = 0;
}

static void record(struct client *client, const struct connection *conn, struct due due, uint64_t end_ns,
		   enum status status)
{
	client->batch[client->batched++] = (struct record){
		.scheduled_ns = due.scheduled_ns,
		.latency_ns = end_ns > due.scheduled_ns ? end_ns - due.scheduled_ns : 0,
		.lateness_ns = due.lateness_ns,
		.connection = (uint16_t)(conn - client->conns),
		.status = (uint16_t)status,
	};
	if (client->batched == RECORD_BATCH)
		flush_records(client);
}

static void push_due(struct connection *conn, struct due due)
{
	if (conn->count == conn->capacity) {
		struct due *larger = allocate((size_t)conn->capacity * 2, sizeof(*larger));

		for (uint32_t i = 0; i < conn->count; i++)
			larger[i] = conn->due[(conn->head + i) % conn->capacity];
		free(conn->due);
		conn->due = larger;
		conn->head = 0;
		conn->capacity *= 2;
	}
	conn->due[(conn->head + conn->count++) % conn->capacity] = due;
}

static struct due pop_due(struct connection *conn)
{
	struct due due = conn->due[conn->head];

	conn->head = (conn->head + 1) % conn->capacity;
	conn->count--;
	return due;
}

static void keep_backlog(struct connection *conn, const char *bytes, size_t count)
{
	if (conn->backlog_bytes + count > conn->backlog_capacity) {
		conn->backlog_capacity = 2 * (conn->backlog_bytes + count);
		conn->backlog = realloc(conn->backlog, conn->backlog_capacity);
		if (!conn->backlog)
			die("out of memory (a backlog of %zu bytes)", conn->backlog_capacity);
	}
	memcpy(conn->backlog + conn->backlog_bytes, bytes, count);
	conn->backlog_bytes += count;
}

static size_t try_send(const struct connection *conn, const char *bytes, size_t count)
{
	ssize_t n = send(conn->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0)
		return (size_t)n;
	if (errno != EAGAIN && errno != EINTR)
		die("send: %s", strerror(errno));
	return 0;
}

static void drain_backlog(struct client *client, struct connection *conn)
{
	size_t taken = try_send(conn, conn->backlog, conn->backlog_bytes);

	conn->backlog_bytes -= taken;
	memmove(conn->backlog, conn->backlog + taken, conn->backlog_bytes);
	if (!conn->backlog_bytes)
		watch(client, conn, EPOLL_CTL_MOD, false);
}

static void send_request(struct client *client, uint64_t scheduled_ns)
{
	struct connection *conn = &client->conns[client->planned % (uint64_t)client->set.connections];
	const char *request = client->requests[client->planned % TEMPLATES];
	uint64_t late = now_ns() - scheduled_ns;
	size_t taken = 0;

	push_due(conn, (struct due){scheduled_ns, late > UINT32_MAX ? UINT32_MAX : (uint32_t)late});
	if (!conn->backlog_bytes)
		taken = try_send(conn, request, client->request_bytes);
	if (taken < client->request_bytes) {
		client->blocked++;
		keep_backlog(conn, request + taken, client->request_bytes - taken);
		if (!conn->watching_out)
			watch(client, conn, EPOLL_CTL_MOD, true);
	}
	client->sent++;
	if (late > client->late_max_ns)
		client->late_max_ns = late;
	if (++client->outstanding > client->outstanding_max)
		client->outstanding_max = client->outstanding;
}

/* The last END_BYTES received so far end with these bytes. */
static void remember_tail(struct connection *conn, const char *bytes, size_t count)
{
	if (count >= END_BYTES) {
		memcpy(conn->tail, bytes + count - END_BYTES, END_BYTES);
	} else {
		memmove(conn->tail, conn->tail + count, END_BYTES - count);
		memcpy(conn->tail + END_BYTES - count, bytes, count);
	}
}

static void receive(struct client *client, struct connection *conn)
{
	static char bytes[RECEIVE_BYTES];
	ssize_t got = recv(conn->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	uint64_t now = now_ns();
	char *at = bytes;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
		die("recv: %s", got ? strerror(errno) : "the server closed the connection");
	while (got) {
		size_t part = (uint64_t)got < conn->unread ? (size_t)got : (size_t)conn->unread;

		if (!conn->count)
			die("an answer without a request: '%.40s'", at);
		if (conn->unread == client->answer_bytes && *at != 'V')
			die("a wrong answer: '%.40s'", at);
		remember_tail(conn, at, part);
		conn->unread -= part;
		at += part;
		got -= (ssize_t)part;
		if (conn->unread)
			continue;
		if (memcmp(conn->tail, END_MARK, END_BYTES))
			die("an answer of the wrong length: a key was missing (is memcached's memory too small?)");
		record(client, conn, pop_due(conn), now, STATUS_OK);
		client->answered++;
		client->outstanding--;
		conn->unread = client->answer_bytes;
	}
}

static void wait_and_receive(struct client *client, uint64_t until_ns)
{
	struct epoll_event events[MAX_EVENTS];
	uint64_t now = now_ns();
	uint64_t left = until_ns > now ? until_ns - now : 0;
	struct timespec timeout = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
	int ready = epoll_pwait2(client->epoll_fd, events, MAX_EVENTS, &timeout, NULL);

	if (ready < 0 && errno != EINTR)
		die("epoll_pwait2: %s", strerror(errno));
	for (int i = 0; i < ready; i++) {
		struct connection *conn = events[i].data.ptr;

		if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			receive(client, conn);
		if (events[i].events & EPOLLOUT)
			drain_backlog(client, conn);
	}
}

/* Send what is due, then look for answers: sending goes first, a burst of answers cannot delay it. */
static void run_schedule(struct client *client, uint64_t start_ns)
{
	uint64_t end_ns = client->set.duration_s > 0
				? start_ns + (uint64_t)(client->set.duration_s * 1e9)
				: UINT64_MAX;
	double next = (double)start_ns;

	client->period_end_ns = next + client->set.period_s * 1e9;
	while (!stopping && (uint64_t)next < end_ns) {
		uint64_t now = now_ns();

		while ((uint64_t)next <= now && (uint64_t)next < end_ns) {
			send_request(client, (uint64_t)next);
			next = next_instant_ns(client, next);
		}
		wait_and_receive(client, (uint64_t)next < end_ns ? (uint64_t)next : end_ns);
	}
}

static void await_answers(struct client *client)
{
	uint64_t limit = now_ns() + (uint64_t)(client->set.drain_s * 1e9);

	while (client->outstanding && now_ns() < limit)
		wait_and_receive(client, limit);
	for (int i = 0; i < client->set.connections; i++) {
		struct connection *conn = &client->conns[i];

		while (conn->count) {
			record(client, conn, pop_due(conn), now_ns(), STATUS_LOST);
			client->lost++;
		}
	}
}

static void open_records(struct client *client)
{
	const uint32_t rest[2] = {sizeof(struct record), 0};

	if (!client->set.out_path)
		return;
	client->out = fopen(client->set.out_path, "wb");
	if (!client->out || fwrite("MCOPEN1\n", 8, 1, client->out) != 1 ||
	    fwrite(rest, sizeof(rest), 1, client->out) != 1)
		die("cannot write %s: %s", client->set.out_path, strerror(errno));
	setvbuf(client->out, NULL, _IONBF, 0);
}

static void print_totals(const struct client *client, uint64_t start_ns, uint64_t end_ns)
{
	printf("{\"start_ns\": %" PRIu64 ", \"end_ns\": %" PRIu64 ", \"offered_rate\": %.3f, \"sent\": %" PRIu64
	       ", \"answered\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"blocked_sends\": %" PRIu64
	       ", \"lateness_max_ns\": %" PRIu64 ", \"outstanding_max\": %" PRIu32 "}\n",
	       start_ns, end_ns, client->set.rate, client->sent, client->answered, client->lost, client->blocked,
	       client->late_max_ns, client->outstanding_max);
}

static void usage(void)
{
	fputs("usage: mcopen [--socket PATH | --port N] [--connections N] [--rate PER_SECOND]\n"
	      "              [--arrivals poisson|uniform] [--seed N] [--keys-per-request N] [--keyspace N]\n"
	      "              [--value-bytes N] [--period S] [--duration S] [--drain S] [--out FILE] [--no-populate]\n",
	      stderr);
	exit(2);
}

static long whole(const char *name, const char *text, long least, long most)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*end || end == text || value < least || value > most)
		die("--%s %s: a whole number from %ld to %ld is needed", name, text, least, most);
	return value;
}

static double positive(const char *name, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (*end || end == text || !(value >= 0))
		die("--%s %s: a number that is not negative is needed", name, text);
	return value;
}

static struct settings parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},   {"port", required_argument, NULL, 'p'},
		{"connections", required_argument, NULL, 'c'}, {"rate", required_argument, NULL, 'r'},
		{"arrivals", required_argument, NULL, 'a'}, {"seed", required_argument, NULL, 'S'},
		{"keys-per-request", required_argument, NULL, 'k'}, {"keyspace", required_argument, NULL, 'K'},
		{"value-bytes", required_argument, NULL, 'v'}, {"duration", required_argument, NULL, 'd'},
		{"drain", required_argument, NULL, 'D'},    {"period", required_argument, NULL, 'P'},
		{"out", required_argument, NULL, 'o'},	    {"no-populate", no_argument, NULL, 'n'},
		{NULL, 0, NULL, 0},
	};
	struct settings set = {
		.port = 11211, .connections = 12, .rate = 1000, .poisson = true, .seed = 1, .keys_per_request = 50,
		.keyspace = 10000, .value_bytes = 32, .duration_s = 0, .drain_s = 5, .populate = true,
	};
	int option, index;

	while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
		const char *name = option == '?' ? "" : options[index].name;

		switch (option) {
		case 's': set.socket_path = optarg; break;
		case 'p': set.port = (int)whole(name, optarg, 1, 65535); break;
		case 'c': set.connections = (int)whole(name, optarg, 1, 1024); break;
		case 'r': set.rate = positive(name, optarg); break;
		case 'a':
			set.poisson = !strcmp(optarg, "poisson");
			if (!set.poisson && strcmp(optarg, "uniform"))
				die("--arrivals %s: poisson or uniform", optarg);
			break;
		case 'S': set.seed = (uint64_t)whole(name, optarg, 0, INT32_MAX); break;
		case 'k': set.keys_per_request = (int)whole(name, optarg, 1, 1000); break;
		case 'K': set.keyspace = (int)whole(name, optarg, 1, 1000000); break;
		case 'v': set.value_bytes = (int)whole(name, optarg, 1, 500000); break;
		case 'P': set.period_s = positive(name, optarg); break;
		case 'd': set.duration_s = positive(name, optarg); break;
		case 'D': set.drain_s = positive(name, optarg); break;
		case 'o': set.out_path = optarg; break;
		case 'n': set.populate = false; break;
		default: usage();
		}
	}
	if (optind != argc || set.rate <= 0)
		usage();
	return set;
}

int main(int argc, char **argv)
{
	static struct client client;
	struct sigaction action = {.sa_handler = on_signal};

	client.set = parse(argc, argv);
	client.random = client.set.seed;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	prctl(PR_SET_TIMERSLACK, 1UL); /* the default lets the kernel add 50 us to every timeout */
	if (client.set.populate)
		populate(&client.set);
	build_requests(&client);
	open_connections(&client);
	open_records(&client);
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		fputs("mcopen: memory is not locked; page faults may show as lateness\n", stderr);

	uint64_t start_ns = now_ns();
	printf("{\"start_ns\": %" PRIu64 "}\n", start_ns);
	fflush(stdout);
	run_schedule(&client, start_ns);
	uint64_t end_ns = now_ns();
	await_answers(&client);
	flush_records(&client);
	if (client.out && fclose(client.out))
		die("cannot write %s: %s", client.set.out_path, strerror(errno));
	print_totals(&client, start_ns, end_ns);
	return client.lost ? 1 : 0;
}
