"""The generators of the suite that are controls: tables for papers do not call one of them the best."""

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
