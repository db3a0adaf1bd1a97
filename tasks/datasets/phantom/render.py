"""How one patch of the phantom is rendered: regions, lumina, ground, nuclei, light.

Light follows Beer and Lambert: a pixel's optical density is the amount of hematoxylin times its stain vector plus the
amount of eosin times its own. All random numbers come from the generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from tasks.datasets.phantom.tissue import NUCLEI, Field, Slide, Tissue


@dataclass(frozen=True)
class Patch:
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    instances: NDArray[np.int32]
    types: NDArray[np.uint8]


def smooth(size: int, length: float, rng: np.random.Generator) -> Field:
    """float64 (size, size): Gaussian noise of mean 0 and variance 1 with the given correlation length."""
    margin = int(3 * length) + 1
    field = gaussian_filter(rng.standard_normal((size + 2 * margin,) * 2), length, mode="wrap")
    field = field[margin:-margin, margin:-margin] / field.std()
    return np.asarray(field)


def regions(size: int, shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 (size, size) of values 0..len(shares)-1, each covering exactly its share: level sets of one smooth field, or of a
    second field within what remains of the first, so that any two classes can touch."""
    mask = np.zeros((size, size), dtype=np.uint8)
    free = np.ones((size, size), dtype=bool)
    left = 1.0
    for value, share in enumerate(shares[:-1]):
        field = smooth(size, size / 6, rng)
        cut = np.quantile(field[free], min(share / left, 1.0))
        taken = free & (field <= cut)
        mask[taken] = value
        free &= ~taken
        left -= share
    mask[free] = len(shares) - 1
    return mask


def render(mask: NDArray[np.uint8], tissues: tuple[Tissue, ...], slide: Slide, rng: np.random.Generator) -> Patch:
    """One patch of a slide whose tissue regions are `mask` (values index `tissues`)."""
    size = mask.shape[0]
    lumen = _lumina(mask, tissues, rng)
    amount_h, amount_e = _ground(mask, tissues, slide, rng)
    amount_h[lumen] = 0.02
    amount_e[lumen] = 0.03
    centres, radii, kinds = _place(mask, lumen, tissues, slide, rng)
    instances, inside, halo = _outline(size, centres, radii, kinds, rng)
    types = np.concatenate([[0], kinds])[instances].astype(np.uint8)
    h, e = _shade(instances, inside, kinds, slide, rng)
    soft = np.clip((1.15 - inside) / 0.3, 0, 1) * (instances > 0)
    amount_h = amount_h * (1 - soft) + h * soft
    amount_e = amount_e * (1 - 0.6 * soft) + e * soft + halo * (instances == 0)
    image = _expose(amount_h, amount_e, slide, rng)
    return Patch(image, mask, instances.astype(np.int32), types)


def _lumina(mask: NDArray[np.uint8], tissues: tuple[Tissue, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    open_ = np.zeros(mask.shape, dtype=bool)
    for value, tissue in enumerate(tissues):
        here = mask == value
        if tissue.lumen and here.any():
            deep = distance_transform_edt(here)
            field = smooth(mask.shape[0], 4.0, rng) + np.minimum(deep / 6, 1.0)
            open_ |= here & (deep > 3) & (field > np.quantile(field[here], 1 - tissue.lumen))
    return np.asarray(gaussian_filter(open_.astype(np.float64), 1.2) > 0.5)


def _ground(
    mask: NDArray[np.uint8], tissues: tuple[Tissue, ...], slide: Slide, rng: np.random.Generator
) -> tuple[Field, Field]:
    """Amounts of hematoxylin and eosin between the nuclei."""
    size = mask.shape[0]
    y, x = np.mgrid[:size, :size]
    angle = rng.uniform(0, np.pi) + 0.5 * smooth(size, 14, rng)
    phase = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / slide.wave + 1.2 * smooth(size, 6, rng)
    fibre = np.sin(phase)
    texture = smooth(size, slide.grain, rng) * slide.contrast

    def per_class(name: str) -> Field:
        return gaussian_filter(np.array([getattr(t, name) for t in tissues], dtype=np.float64)[mask], 0.7)

    eosin = per_class("eosin") * np.clip(1 + texture + per_class("fibres") * fibre, 0.05, None)
    haze = per_class("haze") * np.clip(1 + 0.5 * texture, 0.1, None)
    return haze, eosin


def _place(
    mask: NDArray[np.uint8],
    lumen: NDArray[np.bool_],
    tissues: tuple[Tissue, ...],
    slide: Slide,
    rng: np.random.Generator,
) -> tuple[Field, Field, NDArray[np.int64]]:
    """Centres (m, 2), half axes with angle (m, 3) and types (m,) of nuclei that hardly overlap."""
    size = mask.shape[0]
    rate = np.array([tissue.density for tissue in tissues])[mask] / 1000 * slide.crowding
    lined = np.array([tissue.lumen > 0 for tissue in tissues])[mask]
    if lined.any() and lumen.any():
        away = distance_transform_edt(~lumen)
        rate = np.where(lined, rate * np.where(away < 8, 2.2, 0.5), rate)
    rate = rate * ~lumen
    total = rng.poisson(rate.sum())
    cells = rng.choice(size * size, size=total, p=rate.ravel() / rate.sum()) if rate.sum() else np.zeros(0, int)
    centres = np.stack(np.divmod(cells, size), axis=1) + rng.uniform(0, 1, (total, 2))
    owner = mask.ravel()[cells]
    kinds = np.zeros(total, dtype=np.int64)
    for value, tissue in enumerate(tissues):
        mine = owner == value
        if mine.any():
            share = np.array(list(tissue.mix.values()))
            kinds[mine] = rng.choice(list(tissue.mix), size=int(mine.sum()), p=share / share.sum())
    looks = [NUCLEI[k] for k in kinds.tolist()]
    base = np.array([n.radius for n in looks]) * np.array([t.scale for t in tissues])[owner] * slide.size
    radius = base * np.exp(rng.normal(0, 1, total) * np.array([n.spread for n in looks]))
    ratio = np.array([n.elongation for n in looks]) * np.exp(rng.normal(0, 0.12, total))
    ratio = np.sqrt(np.maximum(ratio, 1.0))
    radii = np.stack([radius * ratio, radius / ratio, rng.uniform(0, np.pi, total)], axis=1)
    keep = _uncrowd(centres, radius)
    return centres[keep], radii[keep], kinds[keep]


def _uncrowd(centres: Field, radius: Field) -> NDArray[np.int64]:
    """Indices of nuclei kept, first come first served, so that no two are nearer than 0.95 of their radii's sum."""
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    near = distance < 0.95 * (radius[:, None] + radius[None])
    kept: list[int] = []
    free = np.ones(len(centres), dtype=bool)
    for i in range(len(centres)):
        if free[i]:
            kept.append(i)
            free &= ~near[i]
    return np.array(kept, dtype=np.int64)


def _outline(
    size: int, centres: Field, radii: Field, kinds: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], Field, Field]:
    """Instance ids, the normalised radius inside the owning nucleus (1 at its edge), and the eosin halo."""
    instances = np.zeros((size, size), dtype=np.int64)
    best = np.full((size, size), 9.0)
    halo = np.zeros((size, size))
    if not len(centres):
        return instances, best, halo
    reach = int(np.ceil(radii[:, 0].max() * 1.6)) + 1
    step = np.arange(-reach, reach + 1)
    y = np.floor(centres[:, 0]).astype(int)[:, None, None] + step[:, None]
    x = np.floor(centres[:, 1]).astype(int)[:, None, None] + step[None, :]
    dy, dx = y + 0.5 - centres[:, 0][:, None, None], x + 0.5 - centres[:, 1][:, None, None]
    cos, sin = (f(radii[:, 2])[:, None, None] for f in (np.cos, np.sin))
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    u, v = u / radii[:, 0][:, None, None], v / radii[:, 1][:, None, None]
    angle = np.arctan2(v, u)
    bumps = 1 + sum(
        rng.normal(0, 0.05, len(centres))[:, None, None] * np.cos(k * angle + rng.uniform(0, 6.3, len(centres))[:, None, None])
        for k in (2, 3, 4)
    )
    rho = np.hypot(u, v) / bumps
    y, x = np.broadcast_to(y, rho.shape), np.broadcast_to(x, rho.shape)
    inside = (rho < 1.0) & (y >= 0) & (x >= 0) & (y < size) & (x < size)
    owner, *_ = np.nonzero(inside)
    order = np.argsort(-rho[inside], kind="stable")  # the nearest nucleus is written last
    rows, columns, near = y[inside][order], x[inside][order], rho[inside][order]
    instances[rows, columns] = owner[order] + 1
    best[rows, columns] = near
    around = (rho < 1.6) & (y >= 0) & (x >= 0) & (y < size) & (x < size)
    owner, *_ = np.nonzero(around)
    amount = np.array([NUCLEI[k].halo for k in kinds.tolist()])[owner] * np.clip((1.6 - rho[around]) / 0.5, 0, 1)
    np.maximum.at(halo, (y[around], x[around]), amount)
    return instances, best, halo


def _shade(
    instances: NDArray[np.int64], inside: Field, kinds: NDArray[np.int64], slide: Slide, rng: np.random.Generator
) -> tuple[Field, Field]:
    """Amounts of both stains inside nuclei: a level per nucleus, chromatin clumps, a darker membrane where vesicular."""
    looks = [NUCLEI[k] for k in kinds.tolist()]
    level = np.array([n.hematoxylin for n in looks]) * np.exp(rng.normal(0, 0.12, len(looks)))

    def spread(values: NDArray[np.float64]) -> Field:
        return np.concatenate([[0.0], values])[instances]

    clumps = smooth(instances.shape[0], 0.9, rng) * spread(np.array([n.chromatin for n in looks])) * slide.clumping
    rim = np.exp(-(((inside - 0.92) / 0.16) ** 2)) * spread(np.array([n.rim for n in looks]))
    return spread(level) * np.clip(1 + clumps + rim, 0.15, None), np.where(instances > 0, 0.18, 0.0)


def _expose(amount_h: Field, amount_e: Field, slide: Slide, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Beer-Lambert, optical blur, sensor noise: uint8 (size, size, 3)."""
    density = amount_h[..., None] * slide.amounts[0] * slide.hematoxylin + amount_e[..., None] * slide.amounts[1] * slide.eosin
    light = slide.light * np.exp(-density)
    blurred = gaussian_filter(light, (slide.focus, slide.focus, 0))
    noisy = blurred + rng.normal(0, 0.008, light.shape)
    return np.asarray(np.clip(np.rint(noisy * 255), 0, 255), dtype=np.uint8)
