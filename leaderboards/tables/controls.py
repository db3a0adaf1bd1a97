"""The generators of the suite that are controls: real patches, real ones made worse in a known way, or nothing.

Others are compared with them. They do not compete with generators that are to be ranked.
"""

from collections.abc import Iterable

CONTROLS = frozenset(
    {
        *("blur", "class-swapped", "copy-train", "crop-paste", "crop-pasted", "drop-class", "flat-colour"),
        *("gaussian-noise", "jpeg", "memorized-share", "mode-dropped", "noise", "nuclei-removed", "real", "shuffle"),
        *("stain-shift", "unchanged"),
    }
)


def is_control(name: str) -> bool:
    """Whether the row of this name shows a control, also if its options stand behind the name in brackets."""
    return name.partition(" (")[0] in CONTROLS


def competitors(names: Iterable[str]) -> list[str]:
    """Those to be ranked: generators that are no controls or, where there are only controls, all but real patches."""
    every = list(names)
    return [name for name in every if not is_control(name)] or [name for name in every if name.partition(" (")[0] != "real"]
