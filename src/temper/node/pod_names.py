"""The kubelet's names for the cgroups of pods: from the API's uids to directory names, never the other way.

systemd driver: a name repeats its parent's (`kubepods-burstable.slice/kubepods-burstable-pod<U_>.slice`), and
U_ is the uid with `_` for `-`, which is systemd's step in the hierarchy. cgroupfs driver: `burstable/pod<U>`.
`--cgroup-root=/kubelet` (kind) puts `kubelet-` before each systemd name, or a directory above the cgroupfs ones.

A stray: the kubelet speaks systemd but the runtime does not, so it takes the unit's name for a path and makes
containers beside itself, as `kubepods-besteffort-pod<U_>.slice:cri-containerd:<C>` (containerd) or in a
`kubepods-besteffort-pod<U_>.slice` of its own (docker). runc 1.x puts them beside the runtime's service on
cgroup v2 (fs2/defaultpath.go) and below it on v1; either place is searched.
"""

from __future__ import annotations

import re
from typing import Literal

from temper.settings.kubepods import KUBEPODS, SLICE, driver_of

Driver = Literal["systemd", "cgroupfs", "unknown"]

_QOS = ("burstable", "besteffort")  # Guaranteed pods sit in the kubepods root itself

# More than uuids: static pods have the md5 of their manifest, or whatever the manifest says. Not `.` nor `/`.
_UID = re.compile(r"[0-9A-Za-z_-]{1,253}", re.ASCII)

_STRAY_STARTS = tuple(f"{KUBEPODS}-{qos}pod" for qos in ("", *(f"{qos}-" for qos in _QOS)))


def plausible(uid: str) -> bool:
    """May this uid become part of a directory's name? What may not is never looked for."""
    return _UID.fullmatch(uid) is not None


def qos_parents(kubepods: str) -> tuple[str, ...]:
    """The directories that hold pods: the kubepods root (Guaranteed), then those of Burstable and BestEffort."""
    if driver_of(kubepods) == "cgroupfs":
        return (kubepods, *(f"{kubepods}/{qos}" for qos in _QOS))
    stem = _last(kubepods).removesuffix(SLICE)
    return (kubepods, *(f"{kubepods}/{stem}-{qos}{SLICE}" for qos in _QOS))


def pod_names(parent: str, uid: str) -> frozenset[str]:
    """What a pod's directory may be called in one of the `qos_parents`. The uid must be plausible."""
    folded = _folded(uid)
    if driver_of(parent) == "systemd":
        return frozenset({f"{_last(parent).removesuffix(SLICE)}-pod{folded}{SLICE}"})
    return frozenset({f"pod{uid}", f"pod{folded}"})


def stray_names(uid: str) -> frozenset[str]:
    """What `stray_key` says of this pod's strays. The uid must be plausible."""
    return frozenset(f"{start}{_folded(uid)}{SLICE}" for start in _STRAY_STARTS)


def stray_key(name: str) -> str | None:
    """The part of a stray's name that says whose it is, without the prefix of a cgroup root; None if it is none."""
    prefix, kubepods, rest = name.partition(":")[0].rpartition(f"{KUBEPODS}-")
    key = kubepods + rest
    whole_step = not prefix or prefix.endswith("-")
    return key if whole_step and key.startswith(_STRAY_STARTS) and key.endswith(SLICE) else None


def _folded(uid: str) -> str:
    return uid.replace("-", "_")


def _last(path: str) -> str:
    return path.rpartition("/")[2]
