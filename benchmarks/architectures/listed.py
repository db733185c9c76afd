"""The architectures by name. Those of the suite are small: built, exported and tried in well under a minute."""

from dataclasses import replace
from typing import Any

from benchmarks.architectures.model import Architecture, Input, made_by

_BERT: dict[str, Any] = {"vocab_size": 30522}
_WORDS = 500
_TOKENS = (96, 7, 1, 48, 33)
"""Lengths: the profiled one first, then short and odd ones, and a single token."""


def _vision(name: str, side: int = 96, **options: Any) -> Architecture:
    return Architecture(
        name, made_by("from_torchvision:classifier", name, **options), (Input("x", (1, 3, side, side)),)
    )


def _timm(name: str, side: int | None = None, **options: Any) -> Architecture:
    """A model of timm; ``side`` replaces the default of 224, and is passed only to models that need to know it."""
    sized = options.pop("sized", side is not None)
    options |= {"img_size": side} if sized else {}
    side = side or 128
    return Architecture(f"timm-{name}", made_by("from_timm:model", name, **options), (Input("x", (1, 3, side, side)),))


def _text(name: str, kind: str, tokens: int, suffix: str = "Model", **config: Any) -> Architecture:
    """An encoder or decoder of full size, at one length."""
    make = made_by(
        "from_transformers:model", kind, ("input_ids",), ("last_hidden_state",), suffix, use_cache=False, **config
    )
    return Architecture(name, make, (Input("input_ids", (1, tokens), 1000),))


def _tokens(
    name: str,
    kind: str,
    suffix: str = "Model",
    output: str = "last_hidden_state",
    free: bool = True,
    length: int = _TOKENS[0],
    batch: bool = False,
    **config: Any,
) -> Architecture:
    """A small encoder or decoder, of any length where that can be exported."""
    make = made_by(
        "from_transformers:model", kind, ("input_ids",), (output,), suffix, **{"vocab_size": _WORDS, **config}
    )
    sizes = {"tokens": _TOKENS} if free else {}
    sizes |= {"batch": (3, 1, 2, 1, 2)} if batch else {}
    shape = ("batch" if batch else 1, "tokens" if free else length)
    return Architecture(name, make, (Input("input_ids", shape, _WORDS),), sizes)


def _translator(name: str, kind: str, **config: Any) -> Architecture:
    """A small encoder and decoder, both of any length."""
    make = made_by("from_transformers:model", kind, ("input_ids", "decoder_input_ids"), ("last_hidden_state",),
        **{"vocab_size": _WORDS, **config},
    )  # fmt: skip
    inputs = Input("input_ids", (1, "source"), _WORDS), Input("decoder_input_ids", (1, "target"), _WORDS)
    return Architecture(name, make, inputs, {"source": (64, 5, 31, 64, 17), "target": (48, 48, 9, 2, 30)})


def _pixels(
    name: str, kind: str, side: int, *output: str, suffix: str = "Model", takes: str = "pixel_values", **config: Any
) -> Architecture:
    make = made_by("from_transformers:model", kind, (takes,), output or ("last_hidden_state",), suffix, **config)
    return Architecture(name, make, (Input(takes, (1, 3, side, side)),))


def _sound(name: str, kind: str, samples: int = 8000, **config: Any) -> Architecture:
    small = {
        "hidden_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512,
        "conv_dim": (64, 64, 128, 128), "conv_kernel": (10, 3, 3, 2), "conv_stride": (5, 4, 4, 2),
        "num_feat_extract_layers": 4, "num_conv_pos_embeddings": 32, "num_conv_pos_embedding_groups": 8,
    }  # fmt: skip
    make = made_by("from_transformers:model", kind, ("input_values",), ("last_hidden_state",), **{**small, **config})
    return Architecture(name, make, (Input("input_values", (1, samples)),))


def full() -> list[Architecture]:
    """Architectures in full size that the resource model is tested on, besides the zoo."""
    pictures = (
        "resnet18", "resnet34", "resnet101", "wide_resnet50_2", "resnext50_32x4d", "mobilenet_v2",
        "mobilenet_v3_large", "mobilenet_v3_small", "mnasnet1_0", "densenet121", "squeezenet1_1",
        "shufflenet_v2_x1_0", "regnet_y_400mf", "regnet_x_1_6gf", "googlenet", "alexnet", "vgg11",
        "convnext_tiny", "efficientnet_b1", "efficientnet_v2_s", "swin_t", "vit_b_32",
    )  # fmt: skip
    listed = [
        *(_vision(name, 224) for name in pictures),
        _text("distilbert", "DistilBert", 128, **_BERT),
        _text("roberta-base", "Roberta", 96, vocab_size=50265, max_position_embeddings=514, pad_token_id=1),
        _text("albert-base", "Albert", 128, vocab_size=30000, embedding_size=128, hidden_size=768,
              num_attention_heads=12, intermediate_size=3072),
        _text("electra-small", "Electra", 128, embedding_size=128, hidden_size=256, num_attention_heads=4,
              intermediate_size=1024, **_BERT),
        _text("bert-small", "Bert", 64, hidden_size=512, num_hidden_layers=4, num_attention_heads=8,
              intermediate_size=2048, **_BERT),
        _text("bert-tiny", "Bert", 128, hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
              intermediate_size=512, **_BERT),
        _text("gpt-neo-125m", "GPTNeo", 48, hidden_size=768, num_layers=12, num_heads=12,
              attention_types=[[["global", "local"], 6]]),
        _text("opt-125m", "OPT", 48),
        _text("t5-small-encoder", "T5", 64, "EncoderModel", d_model=512, d_ff=2048, num_layers=6, num_heads=8),
        _text("mobilebert", "MobileBert", 64, **_BERT),
    ]  # fmt: skip
    return [replace(item, full=True) for item in listed]


_WIDE: dict[str, Any] = {
    "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 768,
    "max_position_embeddings": 128,
}  # fmt: skip
_GROUPED = {**_WIDE, "num_key_value_heads": 2}
_PATCHED: dict[str, Any] = {
    "hidden_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512, "image_size": 112,
    "patch_size": 16,
}  # fmt: skip
_DUAL: dict[str, Any] = {
    "d_model": 192, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 512, "decoder_ffn_dim": 512, "max_position_embeddings": 128,
}  # fmt: skip
_RESNET: dict[str, Any] = {
    "kind": "ResNet", "embedding_size": 16, "hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 1, 1],
    "layer_type": "basic", "out_features": ["stage4"],
}  # fmt: skip


def _pictures() -> list[Architecture]:
    names = (
        "resnet18", "mobilenet_v2", "mobilenet_v3_small",
        "densenet121", "squeezenet1_1", "shufflenet_v2_x1_0", "regnet_y_400mf",
        "googlenet", "alexnet", "convnext_tiny", "swin_t", "swin_v2_t",
        )  # fmt: skip
    clip = (1, 3, 8, 56, 56)
    return [
        *(_vision(name, 112 if name in {"inception_v3", "alexnet"} else 96) for name in names),
        _vision("vit_b_32", 224),
        *(
            Architecture(name, made_by("from_torchvision:segmentation", name), (Input("x", (1, 3, 96, 96)),))
            for name in ("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
        ),
        *(
            Architecture(name, made_by("from_torchvision:video", name), (Input("x", clip),))
            for name in ("r3d_18", "mc3_18", "r2plus1d_18", "swin3d_t")
        ),
        *(
            Architecture(f"fpn-{name}", made_by("from_torchvision:pyramid", name), (Input("x", (1, 3, 128, 128)),))
            for name in ("resnet18", "mobilenet_v3_small")
        ),
        Architecture("raft_small", made_by("from_torchvision:flow", "raft_small"),
                     (Input("first", (1, 3, 128, 128)), Input("second", (1, 3, 128, 128)))),
    ]  # fmt: skip


def _pictures_of_timm() -> list[Architecture]:
    convolutional = (
        "mobilevit_xxs", "mobilevitv2_050", "poolformer_s12", "edgenext_xx_small", "ghostnet_100",
        "resnest14d", "skresnet18", "mixnet_s",
        "fastvit_t8", "mambaout_femto", "convnextv2_atto",
        "mobilenetv4_hybrid_medium", "inception_next_atto", "pvt_v2_b0", "efficientvit_b0",
    )  # fmt: skip
    return [
        *(_timm(name) for name in convolutional),
        # 50 tokens, the class token included.
        _timm("deit_tiny_patch16_224", 112, depth=4),
        _timm("vit_small_patch32_224", 224, depth=4),
        *(_timm(name, 112, depth=4) for name in ("xcit_nano_12_p16_224", "convit_tiny")),
        _timm("twins_svt_small", 224, sized=False, depths=(1, 1, 2, 1)),
        *(
            _timm(name, 224, sized=False)
            for name in ("levit_128s", "mixer_s32_224", "efficientformer_l1", "hiera_tiny_224")
        ),
        _timm("eva02_tiny_patch14_224", 112, depth=4),
        _timm("sequencer2d_s", 112, layers=(1, 1, 1, 1)),
    ]  # fmt: skip


def _encoders() -> list[Architecture]:
    return [
        _tokens("bert", "Bert", batch=True, **_WIDE),
        _tokens("distilbert", "DistilBert", dim=256, n_layers=2, n_heads=4, hidden_dim=768,
                max_position_embeddings=128),
        _tokens("albert", "Albert", embedding_size=64, **_WIDE),
        _tokens("mobilebert", "MobileBert", num_hidden_layers=3, embedding_size=64, hidden_size=256,
                intra_bottleneck_size=64, intermediate_size=256),
        _tokens("mpnet", "MPNet", **_WIDE),
        _tokens("deberta", "Deberta", relative_attention=True, pos_att_type=["c2p", "p2c"], type_vocab_size=0, **_WIDE),
        _tokens("deberta-v2", "DebertaV2", relative_attention=True, pos_att_type=["c2p", "p2c"], position_buckets=16,
                share_att_key=True, norm_rel_ebd="layer_norm", conv_kernel_size=3, type_vocab_size=0, **_WIDE),
        _tokens("longformer", "Longformer", free=False, length=64, attention_window=[16, 16], **_WIDE),
        _tokens("squeezebert", "SqueezeBert", embedding_size=256, **_WIDE),
        _tokens("convbert", "ConvBert", embedding_size=128, conv_kernel_size=9, **_WIDE),
        _tokens("roformer", "RoFormer", embedding_size=128, **_WIDE),
        _tokens("xlnet", "XLNet", free=False, d_model=256, n_layer=2, n_head=4, d_inner=768),
        _tokens("funnel", "Funnel", free=False, block_sizes=[1, 1], d_model=192, n_head=4, d_head=48, d_inner=512),
        _tokens("modernbert", "ModernBert", pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1,
                sep_token_id=2, local_attention=16, global_attn_every_n_layers=2, **_WIDE),
    ]  # fmt: skip


def _decoders() -> list[Architecture]:
    short: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return [
        _tokens("gpt2", "GPT2", n_embd=256, n_layer=2, n_head=4, n_positions=128, batch=True, **short),
        _tokens("gpt-neo", "GPTNeo", hidden_size=256, num_layers=2, num_heads=4, max_position_embeddings=128,
                attention_types=[[["global", "local"], 1]], window_size=16, **short),
        _tokens("gptj", "GPTJ", n_embd=256, n_layer=2, n_head=4, n_positions=128, rotary_dim=32, **short),
        _tokens("opt", "OPT", hidden_size=256, num_hidden_layers=2, num_attention_heads=4, ffn_dim=768,
                word_embed_proj_dim=128, max_position_embeddings=128, **short),
        _tokens("bloom", "Bloom", hidden_size=256, n_layer=2, n_head=4, **short),
        _tokens("gpt-neox", "GPTNeoX", rotary_pct=0.25, **_WIDE, **short),
        _tokens("llama", "Llama", suffix="ForCausalLM", output="logits", batch=True, **_GROUPED, **short),
        _tokens("mistral", "Mistral", sliding_window=16, **_GROUPED, **short),
        _tokens("qwen2", "Qwen2", **_GROUPED, **short),
        _tokens("gemma", "Gemma", head_dim=64, **_GROUPED, **short),
        _tokens("gemma2", "Gemma2", head_dim=64, sliding_window=16, suffix="ForCausalLM", output="logits",
                **_GROUPED, **short),
        _tokens("phi", "Phi", partial_rotary_factor=0.5, **_WIDE, **short),
        _tokens("phi3", "Phi3", **_GROUPED, **short),
        _tokens("falcon", "Falcon", hidden_size=256, num_hidden_layers=2, num_attention_heads=4,
                multi_query=True, parallel_attn=True, **short),
        _tokens("mamba", "Mamba", free=False, length=16, hidden_size=128, num_hidden_layers=2, state_size=8, **short),
        _tokens("rwkv", "Rwkv", free=False, length=16, hidden_size=128, num_hidden_layers=2,
                context_length=64, **short),
    ]  # fmt: skip


def _pairs() -> list[Architecture]:
    ends: dict[str, Any] = {"pad_token_id": 0, "decoder_start_token_id": 0}
    return [
        _translator("t5", "T5", d_model=192, d_kv=48, d_ff=512, num_layers=1, num_heads=4, **ends),
        _translator("bart", "Bart", **_DUAL, **ends),
        _translator("marian", "Marian", **_DUAL, **ends),
    ]  # fmt: skip


def _pictures_of_transformers() -> list[Architecture]:
    detector: dict[str, Any] = {
        "use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None, "backbone_config": _RESNET,
        "d_model": 128, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 256, "decoder_ffn_dim": 256, "num_queries": 20,
    }  # fmt: skip
    scores = "logits", "pred_boxes"
    return [
        _pixels("hf-dinov2", "Dinov2", 112, **{**_PATCHED, "patch_size": 14, "mlp_ratio": 2}),
        _pixels("hf-beit", "Beit", 112, use_relative_position_bias=True, **_PATCHED),
        _pixels("hf-segformer", "Segformer", 128, "logits", suffix="ForSemanticSegmentation"),
        _pixels("hf-yolos", "Yolos", 112, *scores, suffix="ForObjectDetection", num_detection_tokens=10,
                **{**_PATCHED, "image_size": [112, 112]}),
        _pixels("hf-detr", "Detr", 128, *scores, suffix="ForObjectDetection", **detector),
        _pixels("hf-conditional-detr", "ConditionalDetr", 128, *scores, suffix="ForObjectDetection", **detector),
        _pixels("hf-dpt", "DPT", 112, "predicted_depth", suffix="ForDepthEstimation", backbone_out_indices=[0, 1, 2, 3],
                neck_hidden_sizes=[24, 48, 96, 96], fusion_hidden_size=32, **{**_PATCHED, "num_hidden_layers": 4}),
    ]  # fmt: skip


def _of_two_kinds() -> list[Architecture]:
    text = {
        "vocab_size": _WORDS, "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 64, "eos_token_id": 2, "pad_token_id": 1,
    }  # fmt: skip
    sight = {**_PATCHED, "num_hidden_layers": 2}
    inputs = Input("input_ids", ("texts", "tokens"), _WORDS), Input("pixel_values", (1, 3, 112, 112))
    takes, sizes = ("input_ids", "pixel_values"), {"texts": (3, 1, 2), "tokens": (32, 7, 16)}
    patches = 2 * 112 * 112 // 256
    return [
        Architecture("clip", made_by("from_transformers:model", "CLIP", takes,
                     ("logits_per_image", "text_embeds", "image_embeds"), projection_dim=64,
                     text_config=text, vision_config=sight), inputs, sizes),
        Architecture("siglip", made_by("from_transformers:model", "Siglip", takes, ("logits_per_image",),
                     text_config=text, vision_config=sight),
                     (Input("input_ids", ("texts", 64), _WORDS), inputs[1]), {"texts": (3, 1, 2)}),
        Architecture("layoutlm", made_by("from_transformers:model", "LayoutLM", ("input_ids", "bbox"),
                     ("last_hidden_state",), vocab_size=_WORDS, max_2d_position_embeddings=128, **_WIDE),
                     (Input("input_ids", (1, "tokens"), _WORDS), Input("bbox", (1, "tokens", 4), 1)),
                     {"tokens": _TOKENS}),
        Architecture("patchtst", made_by("from_transformers:model", "PatchTST", ("past_values",),
                     ("prediction_outputs",), "ForPrediction", num_input_channels=4, context_length=patches,
                     patch_length=14, patch_stride=7, prediction_length=24, d_model=128, num_hidden_layers=2,
                     num_attention_heads=4, ffn_dim=256),
                     (Input("past_values", (1, patches, 4)),)),
    ]  # fmt: skip


def _sounds() -> list[Architecture]:
    whisper = {
        "d_model": 192, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 512, "decoder_ffn_dim": 512, "num_mel_bins": 40,
        "max_source_positions": 100,
    }  # fmt: skip
    mel, words = Input("input_features", (1, 40, 200)), Input("decoder_input_ids", (1, "tokens"), _WORDS)
    return [
        _sound("wav2vec2", "Wav2Vec2"),
        _sound("hubert", "Hubert"),
        _sound("wavlm", "WavLM"),
        _sound("sew", "SEW", squeeze_factor=2),
        Architecture("whisper-encoder", made_by("from_transformers:whisper_encoder", **whisper), (mel,)),
        Architecture("whisper", made_by("from_transformers:model", "Whisper", ("input_features", "decoder_input_ids"),
                     ("last_hidden_state",), vocab_size=_WORDS, max_target_positions=64, pad_token_id=0,
                     decoder_start_token_id=1, bos_token_id=1, eos_token_id=2, **whisper),
                     (mel, words), {"tokens": (24, 1, 9, 16)}),
        Architecture("ast", made_by("from_transformers:model", "AST", ("input_values",), ("last_hidden_state",),
                     max_length=64, num_mel_bins=64, **{**_PATCHED, "num_hidden_layers": 2}),
                     (Input("input_values", (1, 64, 64)),)),
    ]  # fmt: skip


def _plain() -> list[Architecture]:
    ids = Input("ids", (1, "tokens"), _WORDS)
    # torch.export fixes the number of steps of a recurrent layer.
    steps, batch = Input("ids", ("batch", 48), _WORDS), {"batch": (4, 1, 3)}
    return [
        Architecture("two-inputs", made_by("plain:TwoInputs"), (Input("user", (1, 512)), Input("item", (1, 256)))),
        Architecture("two-inputs-batch", made_by("plain:TwoInputs"),
                     (Input("user", ("batch", 512)), Input("item", ("batch", 256))), {"batch": (8, 1, 3)}),
        Architecture("unet", made_by("plain:UNet"), (Input("image", (1, 3, 96, 96)),)),
        Architecture("translator", made_by("plain:Translator", layers=1),
                     (Input("source", (1, "from"), _WORDS), Input("target", (1, "to"), _WORDS)),
                     {"from": (40, 7, 16), "to": (24, 24, 3)}),
        Architecture("lstm", made_by("plain:Recurrent", "LSTM"), (steps,), batch),
        Architecture("bilstm", made_by("plain:Recurrent", "LSTM", both=True), (steps,), batch),
        Architecture("gru", made_by("plain:Recurrent", "GRU"), (steps,), batch),
        Architecture("gat", made_by("plain:GraphAttention"),
                     (Input("nodes", ("nodes", 32)), Input("edges", ("nodes", "nodes"))), {"nodes": (64, 5, 17)}),
        Architecture("messages", made_by("plain:MessagePassing"),
                     (Input("nodes", (40, 16)), Input("ends", (2, "edges"), 40)), {"edges": (200, 3, 77)}),
        Architecture("deepfm", made_by("plain:DeepFM"),
                     (Input("dense", ("batch", 13)), Input("sparse", ("batch", 8), 1000)), {"batch": (16, 1, 5)}),
        Architecture("wavenet", made_by("plain:WaveNet"), (Input("sound", (1, 1, "samples")),),
                     {"samples": (2000, 300, 1111)}),
        Architecture("state-space", made_by("plain:StateSpace"), (ids,), {"tokens": (32, 1, 9)}),
        Architecture("auto-encoder", made_by("plain:AutoEncoder"), (Input("image", (1, 3, 32, 32)),)),
    ]  # fmt: skip


def suite() -> list[Architecture]:
    """Architectures on which all plans are tried."""
    return [
        *_plain(), *_pictures(), *_encoders(), *_decoders(), *_pairs(), *_pictures_of_timm(), *_sounds(),
        *_pictures_of_transformers(), *_of_two_kinds(),
    ]  # fmt: skip
