"""The panel of published encoders, one row each, and the named panels."""

from __future__ import annotations

from typing import Any

from metrics.encoders.row import CLIP, HALF, HIBOU, LUNIT, OPTIMUS, Row
from metrics.encoders.weights import Hub, Url

LAZYSLIDE, TRIDENT, FAIRPATH, CARD = "LazySlide", "TRIDENT", "FairPath", "card"
SOURCES = {
    LAZYSLIDE: "https://github.com/rendeirolab/lazyslide-models, commit 0127beb",
    TRIDENT: "https://github.com/mahmoodlab/TRIDENT, commit a91fa84, which loads the weights strictly into the same network",
    FAIRPATH: "https://gwwwww1.github.io/FairPath, its list of models",
    CARD: "the model card on the hub",
    "CONCH": "https://github.com/mahmoodlab/CONCH, commit 141cc09",
    "Hibou": "https://github.com/HistAI/hibou, commit c453bbe",
    "Kaiko": "https://github.com/kaiko-ai/towards_large_pathology_fms, commit bfcde17",
    "Lunit": "https://github.com/lunit-io/benchmark-ssl-pathology, commit d0288de",
    "PathDino": "https://github.com/KimiaLabMayo/PathDino, commit 8705ce4",
    "timm": "timm 1.0, where the network is defined",
    "timm_ctp": "timm_ctp 0.5.4, the authors' changed timm, with the stem that TRIDENT gives",
    "torch-fidelity": "torch-fidelity 0.4, where the network is defined",
}
"""Sources of the rows."""
CC_NC_ND = "CC BY-NC-ND 4.0"
LUNIT_LICENCE = "Lunit, non-commercial"
KAIKO_LICENCE = "Kaiko, non-commercial"
OWKIN_LICENCE = "Owkin, non-commercial"
KAIKO_HUB = "1aurent/{}.kaiko_ai_towards_large_pathology_fms"
FIDELITY = "https://github.com/toshas/torch-fidelity"
INCEPTION = Url(f"{FIDELITY}/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth", FIDELITY)
SAFETENSORS = ("model.safetensors",)
OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
OPEN_CLIP_CONFIG = ("open_clip_config.json",)
SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "silu"}
"""What timm calls the gated layers of DINOv2's larger networks."""
TOKENS = ("embeddings.", "encoder.", "layernorm.")
"""Prefixes of tensor names in the ViTs of the transformers library, without the pooling layer."""
CLIP_SIDE = ("vision_model.", "visual_projection.")
"""The same for the image part of its CLIP."""


def _dinov2(width: int, depth: int, heads: int, side: int, patch: int, **more: Any) -> dict[str, Any]:
    size = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads}
    settings = {**size, "image_size": side, "patch_size": patch, **more}
    return {"model": "Dinov2Model", "config": "Dinov2Config", "settings": settings}


def _hibou(width: int, depth: int, heads: int) -> dict[str, Any]:
    built = _dinov2(width, depth, heads, 224, 14, use_swiglu_ffn=True, num_register_tokens=4)
    return {**built, "model": "Dinov2WithRegistersModel", "config": "Dinov2WithRegistersConfig"}


def _clip(width: int, depth: int, heads: int, patch: int, dim: int) -> dict[str, Any]:
    size = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": depth, "num_attention_heads": heads}
    settings = {**size, "patch_size": patch, "image_size": 224, "projection_dim": dim}
    return {"model": "CLIPVisionModelWithProjection", "config": "CLIPVisionConfig", "settings": settings}


# fmt: off
ROWS: tuple[Row, ...] = (
    Row(
        "lunit-vits8", "Lunit's ViT-S/8, trained by DINO on TCGA.",
        Hub("1aurent/vit_small_patch8_224.lunit_dino", aliases=("dino_vit_small_patch8_ep200.torch",)), "timm",
        {"architecture": "vit_small_patch8_224"}, 384, LUNIT, filter="bilinear", licence=LUNIT_LICENCE,
        published="21.7M", counted=(LAZYSLIDE, "Lunit"),
        unverified="resize filter: the one of KimiaLabMayo/HistopathologyFeatureExtractors is taken",
    ),
    Row(
        "lunit-rn50-bt", "Lunit's ResNet-50, trained by Barlow Twins on TCGA.",
        Hub("1aurent/resnet50.lunit_bt", aliases=("bt_rn50_ep200.torch",)), "timm",
        {"architecture": "resnet50"}, 2048, LUNIT, filter="bilinear", pooling="mean", licence=LUNIT_LICENCE,
        published="23.6M", counted=(LAZYSLIDE, "Lunit"),
        unverified="input size: 224 px; KimiaLabMayo's extractor resizes to 1024 x 768",
    ),
    Row(
        "lunit-rn50-moco", "Lunit's ResNet-50, trained by MoCo v2 on TCGA.",
        Hub("1aurent/resnet50.lunit_mocov2", aliases=("mocov2_rn50_ep200.torch",)), "timm",
        {"architecture": "resnet50"}, 2048, LUNIT, filter="bilinear", pooling="mean", licence=LUNIT_LICENCE,
        published="23.6M", counted=(LAZYSLIDE, "Lunit"),
        unverified="input size: 224 px; KimiaLabMayo's extractor resizes to 1024 x 768",
    ),
    Row(
        "gigapath", "Prov-GigaPath's tile encoder, a ViT-g/16 trained by DINOv2.",
        Hub("prov-gigapath/prov-gigapath", ("pytorch_model.bin",), gated=True), "timm",
        {"architecture": "vit_giant_patch14_dinov2", "img_size": 224, "patch_size": 16, "mlp_ratio": 5.33334},
        1536, shorter=256, licence="Apache-2.0, with conditions", published="1.13B", counted=(LAZYSLIDE, TRIDENT),
        notes="Its centre crop hides a sixteenth of the patch at each border.",
    ),
    Row(
        "h-optimus-0", "Bioptimus' ViT-g/14 with registers, trained on over 500,000 slides.",
        Hub("bioptimus/H-optimus-0", gated=True), "timm",
        {"architecture": "vit_giant_patch14_reg4_dinov2", "img_size": 224, "init_values": 1e-5},
        1536, OPTIMUS, licence="Apache-2.0", published="1.13B", counted=(LAZYSLIDE, TRIDENT),
    ),
    Row(
        "h-optimus-1", "Bioptimus' second ViT-g/14 with registers.",
        Hub("bioptimus/H-optimus-1", gated=True), "timm",
        {"architecture": "vit_giant_patch14_reg4_dinov2", "img_size": 224, "init_values": 1e-5},
        1536, OPTIMUS, licence=CC_NC_ND, published="1.13B", counted=(LAZYSLIDE, TRIDENT),
    ),
    Row(
        "h0-mini", "A ViT-B/14 with registers, distilled from H-optimus-0.",
        Hub("bioptimus/H0-mini", gated=True), "timm",
        {"architecture": "vit_base_patch14_reg4_dinov2", "img_size": 224, "mlp_ratio": 5.33334, **SWIGLU},
        768, OPTIMUS, licence=CC_NC_ND, published="85.7M", counted=(LAZYSLIDE,),
        unverified="number of registers (4): its configuration is behind the gate",
        notes="Its card joins the mean of the patch tokens to the class token (1536-d); here the class token stands alone.",
    ),
    Row(
        "pathdino", "KIMIA Lab's PathDino: five blocks of a ViT-S/16 at 512 px, trained on TCGA.",
        Hub("Saghir/PathDino", ("PathDino512.pth",), kind="space"), "timm",
        {"architecture": "vit_small_patch16_224", "img_size": 512, "depth": 5}, 384, side=512, filter="bilinear",
        licence="Apache-2.0", published="≈9M", counted=("PathDino",),
        notes="Smaller patches are enlarged to 512 px.",
    ),
    Row(
        "uni", "Mahmood Lab's ViT-L/16, trained by DINOv2.",
        Hub("MahmoodLab/UNI", ("pytorch_model.bin",), gated=True), "timm",
        {"architecture": "vit_large_patch16_224", "img_size": 224, "init_values": 1e-5}, 1024, filter="bilinear",
        licence=CC_NC_ND, published="303.4M", counted=(LAZYSLIDE, TRIDENT),
    ),
    Row(
        "uni2-h", "Mahmood Lab's second ViT, of 24 wide blocks with registers.",
        Hub("MahmoodLab/UNI2-h", ("pytorch_model.bin",), gated=True), "timm",
        {
            "architecture": "vit_giant_patch14_224", "img_size": 224, "depth": 24, "num_heads": 24, "embed_dim": 1536,
            "mlp_ratio": 5.33334, "init_values": 1e-5, "no_embed_class": True, "reg_tokens": 8, **SWIGLU,
        },
        1536, filter="bilinear", licence=CC_NC_ND, published="681.4M", counted=(LAZYSLIDE, TRIDENT),
    ),
    Row(
        "virchow", "Paige's ViT-H/14, trained by DINOv2 on 1.5 million slides.",
        Hub("paige-ai/Virchow", gated=True), "timm",
        {"architecture": "vit_huge_patch14_224", "img_size": 224, "init_values": 1e-5, "mlp_ratio": 5.3375, **SWIGLU},
        2560, pooling="cls+mean", licence="Apache-2.0", published="631.2M", counted=(LAZYSLIDE, TRIDENT),
    ),
    Row(
        "virchow2", "Paige's second ViT-H/14, with registers, trained on 3.1 million slides.",
        Hub("paige-ai/Virchow2", gated=True), "timm",
        {
            "architecture": "vit_huge_patch14_224", "img_size": 224, "init_values": 1e-5, "mlp_ratio": 5.3375,
            "reg_tokens": 4, **SWIGLU,
        },
        2560, pooling="cls+mean", licence=CC_NC_ND, published="631.2M", counted=(LAZYSLIDE, TRIDENT),
    ),
    Row(
        "phikon", "Owkin's ViT-B/16, trained by iBOT on TCGA.",
        Hub("owkin/phikon"), "transformers",
        {"model": "ViTModel", "config": "ViTConfig", "settings": {}, "options": {"add_pooling_layer": False}},
        768, filter="bilinear", licence=OWKIN_LICENCE, reads=TOKENS, ignores=("mask_token",),
        published="85.8M", counted=(LAZYSLIDE, TRIDENT),
    ),
    Row(
        "phikon-v2", "Owkin's ViT-L/16, trained by DINOv2 on public slides.",
        Hub("owkin/phikon-v2", SAFETENSORS), "transformers", _dinov2(1024, 24, 16, 224, 16),
        1024, filter="bilinear", licence=OWKIN_LICENCE, reads=TOKENS, ignores=("mask_token",),
        published="303.4M", counted=(LAZYSLIDE, TRIDENT),
    ),
    Row(
        "hibou-b", "HistAI's ViT-B/14 with registers, trained by DINOv2.",
        Hub("histai/hibou-b"), "transformers", _hibou(768, 12, 12), 768, HIBOU, licence="Apache-2.0",
        reads=TOKENS, ignores=("mask_token",), published="85.7M", counted=(LAZYSLIDE, "Hibou"),
        unverified="names in the hub's file (taken from transformers' Dinov2WithRegisters); gated or not: sources differ",
    ),
    Row(
        "hibou-l", "HistAI's ViT-L/14 with registers, trained by DINOv2.",
        Hub("histai/hibou-L", gated=True), "transformers", _hibou(1024, 24, 16), 1024, HIBOU, licence="Apache-2.0",
        reads=TOKENS, ignores=("mask_token",), published="303.7M", counted=(LAZYSLIDE, "Hibou"),
        unverified="names in the hub's file (taken from transformers' Dinov2WithRegisters)",
    ),
    Row(
        "kaiko-vits8", "Kaiko's ViT-S/8, trained by DINO on TCGA.",
        Hub(KAIKO_HUB.format("vit_small_patch8_224"), aliases=("vits8.pth",)), "timm",
        {"architecture": "vit_small_patch8_224"}, 384, HALF, filter="bilinear", licence=KAIKO_LICENCE,
        counted=("Kaiko",), unverified="parameter count: no published number was found",
    ),
    Row(
        "kaiko-vitb8", "Kaiko's ViT-B/8, trained by DINO on TCGA.",
        Hub(KAIKO_HUB.format("vit_base_patch8_224"), aliases=("vitb8.pth",)), "timm",
        {"architecture": "vit_base_patch8_224"}, 768, HALF, filter="bilinear", licence=KAIKO_LICENCE,
        counted=("Kaiko",), unverified="parameter count: no published number was found",
    ),
    Row(
        "kaiko-vitl14", "Kaiko's ViT-L/14 with registers, trained by DINOv2 on TCGA.",
        Hub(KAIKO_HUB.format("vit_large_patch14_reg4_dinov2"), aliases=("vitl14.pth",)), "timm",
        {"architecture": "vit_large_patch14_reg4_dinov2", "img_size": 518, "dynamic_img_size": True},
        1024, HALF, filter="bilinear", licence=KAIKO_LICENCE,
        counted=("Kaiko",), unverified="parameter count: no published number was found",
    ),
    Row(
        "midnight", "Kaiko's Midnight-12k, a ViT-g/14 trained by DINOv2 on 12,000 slides of TCGA.",
        Hub("kaiko-ai/midnight", SAFETENSORS), "transformers", _dinov2(1536, 40, 24, 518, 14, use_swiglu_ffn=True),
        1536, HALF, filter="bilinear", licence="MIT", mpp=None, reads=TOKENS, ignores=("mask_token",),
        published="1.14B", counted=(LAZYSLIDE, TRIDENT),
        notes="Made for 0.25 to 2 microns per pixel. The mean of the patch tokens may be joined (3072-d); here it is not.",
    ),
    Row(
        "conch", "Mahmood Lab's CONCH, version 1: the image side, before the projection shared with text.",
        Hub("MahmoodLab/conch", ("pytorch_model.bin",), gated=True), "own",
        {"architecture": "vit_base_patch16_224", "heads": 8}, 512, CLIP, side=448, pooling="attention",
        licence=CC_NC_ND, reads=("visual.trunk.", "visual.attn_pool_contrast.", "visual.ln_contrast."),
        published="395.2M", counted=(LAZYSLIDE, "CONCH"),
    ),
    Row(
        "plip", "PLIP: CLIP's ViT-B/32, tuned on pathology images of Twitter, projected.",
        Hub("vinid/plip"), "transformers", _clip(768, 12, 12, 32, 512), 512, CLIP, pooling="projected",
        licence="not stated", mpp=None, reads=CLIP_SIDE, ignores=("position_ids",),
        published="151.28M", counted=(FAIRPATH, LAZYSLIDE), unverified="licence",
    ),
    Row(
        "quiltnet", "QuiltNet: CLIP's ViT-B/32, tuned on pathology videos, projected.",
        Hub("wisdomik/QuiltNet-B-32", OPEN_CLIP, beside=OPEN_CLIP_CONFIG), "open_clip",
        {"quick_gelu": False, "vision": {"layers": 12, "width": 768, "patch_size": 32, "image_size": 224}},
        512, CLIP, pooling="projected", licence="MIT", mpp=None, reads=("visual.",), published="151.28M", counted=(FAIRPATH,),
        unverified="GELU or QuickGELU: an open_clip_config.json beside the weights decides, GELU without one",
    ),
    Row(
        "biomedclip", "BiomedCLIP: a ViT-B/16, trained on figures of biomedical papers, projected.",
        Hub("microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224", OPEN_CLIP, beside=OPEN_CLIP_CONFIG), "open_clip",
        {
            "quick_gelu": False,
            "vision": {"timm_model_name": "vit_base_patch16_224", "timm_pool": "", "timm_proj": "linear", "image_size": 224},
        },
        512, CLIP, pooling="projected", licence="MIT", mpp=None, reads=("visual.",), published="195.90M", counted=(FAIRPATH,),
    ),
    Row(
        "ctranspath", "CTransPath: a Swin-T with a convolutional stem, trained on TCGA and PAIP.",
        Hub("MahmoodLab/hest-bench", ("fm_v1/ctranspath/CHIEF_CTransPath.pth",), ("ctranspath.pth",), kind="dataset"), "own",
        {"architecture": "swin_tiny_patch4_window7_224"}, 768, filter="bilinear", pooling="mean", licence="GPL-3.0", mpp=1.0,
        ignores=("num_batches_tracked", "attn_mask", "relative_position_index", "head.weight", "head.bias"),
        published="27.5M", counted=(LAZYSLIDE, "timm_ctp"),
        unverified="whether the hub's file holds the authors' weights or CHIEF's",
        notes="The authors' own file, ctranspath.pth, is on Google Drive: put it into a folder for -o weights.",
    ),
    Row(
        "quiltnet-b16", "QuiltNet's ViT-B/16, tuned on pathology videos, projected.",
        Hub("wisdomik/QuiltNet-B-16", OPEN_CLIP, beside=OPEN_CLIP_CONFIG), "open_clip",
        {"quick_gelu": False, "vision": {"layers": 12, "width": 768, "patch_size": 16, "image_size": 224}},
        512, CLIP, pooling="projected", licence="MIT", mpp=None, reads=("visual.",), counted=(LAZYSLIDE,),
        unverified="parameter count: no published number was found; GELU or QuickGELU, as of quiltnet",
    ),
    Row(
        "gpfm", "GPFM: a ViT-L/14, distilled from several encoders of pathology.",
        Hub("majiabo/GPFM", ("GPFM.pth",)), "timm",
        {"architecture": "vit_large_patch14_dinov2", "img_size": 224}, 1024, licence=CC_NC_ND,
        published="303M", counted=(LAZYSLIDE, TRIDENT),
    ),
    Row(
        "keep", "KEEP: a ViT-L/16 aligned with texts and a graph of diseases, projected and of length 1.",
        Hub("Astaxanthin/KEEP", SAFETENSORS), "own",
        {"architecture": "vit_large_patch16_224"}, 768, pooling="projected", licence="MIT", mpp=None,
        reads=("visual.", "visual_head."), counted=(TRIDENT,),
        unverified="parameter count: no published number was found",
        notes="Its features have length 1: distances are about a thousandth of those of other encoders.",
    ),
    Row(
        "pathorchestra", "PathOrchestra: a ViT-L/16, trained by DINOv2 on 300,000 slides.",
        Hub("AI4Pathology/PathOrchestra", ("model.safetensors", "pytorch_model.bin"), gated=True), "timm",
        {"architecture": "vit_large_patch16_224", "img_size": 224, "init_values": 1e-5}, 1024, filter="bilinear",
        licence=CC_NC_ND, counted=(LAZYSLIDE,),
        unverified="parameter count and file name: behind the gate",
    ),
    Row(
        "dinov2-l", "DINOv2's ViT-L/14: photographs, no pathology.",
        Hub("timm/vit_large_patch14_dinov2.lvd142m"), "timm",
        {"architecture": "vit_large_patch14_dinov2", "img_size": 518, "dynamic_img_size": True}, 1024,
        licence="Apache-2.0", mpp=None, published="304.4M", counted=(CARD,),
    ),
    Row(
        "dinov2-g", "DINOv2's ViT-g/14: photographs, no pathology.",
        Hub("timm/vit_giant_patch14_dinov2.lvd142m"), "timm",
        {"architecture": "vit_giant_patch14_dinov2", "img_size": 518, "dynamic_img_size": True}, 1536,
        licence="Apache-2.0", mpp=None, published="1136.5M", counted=(CARD,),
    ),
    Row(
        "dinov3-l", "DINOv3's ViT-L/16: photographs, no pathology.",
        Hub("timm/vit_large_patch16_dinov3.lvd1689m"), "timm", {"architecture": "vit_large_patch16_dinov3"}, 1024, side=256,
        licence="DINOv3", mpp=None, counted=("timm",),
        unverified="parameter count: no published number was found; gated or not",
    ),
    Row(
        "inception", "Inception-v3 of the first Fréchet distances, 2048-d: photographs, no pathology.",
        INCEPTION, "torch-fidelity", {"layer": "2048"}, 2048, side=299, filter="tensorflow", pooling="mean",
        licence="Apache-2.0", mpp=None, counted=("torch-fidelity",),
        unverified="parameter count: no published number was found",
    ),
    Row(
        "inception-logits", "Inception-v3's 1008 logits without their bias, which the Inception Score reads.",
        INCEPTION, "torch-fidelity", {"layer": "logits_unbiased"}, 1008, side=299, filter="tensorflow",
        pooling="logits", licence="Apache-2.0", mpp=None, counted=("torch-fidelity",), in_panels=False,
        unverified="parameter count: no published number was found",
    ),
    Row(
        "clip-l", "OpenAI's CLIP ViT-L/14, projected: photographs, no pathology.",
        Hub("openai/clip-vit-large-patch14"), "transformers", _clip(1024, 24, 16, 14, 768), 768, CLIP,
        pooling="projected", licence="MIT", mpp=None, reads=CLIP_SIDE, ignores=("position_ids",),
        published="427.62M", counted=(FAIRPATH,), unverified="licence; the count is that of PathGenCLIP-L, of the same shape",
    ),
)
# fmt: on

EMBEDDED = ("texture", "random-conv", "phantom-cnn")
"""The encoders that need no download."""
OPEN = tuple(row.name for row in ROWS if row.in_panels and not row.origin.gated)
"""The encoders that need no token, as far as known."""
HETEROTISSUE = ("lunit-vits8", "gigapath", "h-optimus-0", "pathdino", "lunit-rn50-bt", "dinov2-l", "uni2-h", "uni")
"""The eight that HeteroTissue-Diffuse was measured by. Its paper says H-Optimus; the first is taken."""
FULL = (*EMBEDDED, *(row.name for row in ROWS if row.in_panels))
