"""Families of the models that the resource model is tested on: of one architecture, or of the same blocks.

A model of a family is no stranger to the others: ResNet-101 repeats ResNet-50's blocks. So a family is left out of a
fit as a whole.
"""

FAMILIES = {
    "vgg": ("vgg16", "vgg11"),
    "alexnet": ("alexnet",),
    "resnet": ("resnet50", "resnet18", "resnet34", "resnet101", "wide_resnet50_2", "resnext50_32x4d"),
    "regnet": ("regnet_y_400mf", "regnet_x_1_6gf"),
    "inception": ("inception-v3", "googlenet"),
    "densenet": ("densenet121",),
    "squeezenet": ("squeezenet1_1",),
    "shufflenet": ("shufflenet_v2_x1_0",),
    "efficientnet": ("efficientnet-b0", "efficientnet_b1", "efficientnet_v2_s"),
    "mobilenet": ("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "mnasnet1_0"),
    "convnext": ("convnext-base", "convnext_tiny"),
    "vit": ("vit-b16", "vit_b_32"),
    "swin": ("swin_t",),
    "bert": (
        *("bert-base", "bert-small", "bert-tiny", "distilbert", "roberta-base", "albert-base", "electra-small"),
        "mobilebert",
    ),
    "gpt": ("gpt2", "gpt-neo-125m", "opt-125m"),
    "t5": ("t5-small-encoder",),
    "lstm": ("lstm-lm", "bilstm"),
    "dlrm": ("dlrm",),
    "gcn": ("gcn",),
}
"""Family -> models: those of the zoo, and of ``FULL``."""
_FAMILY_OF = {model: family for family, models in FAMILIES.items() for model in models}


def family_of(model: str) -> str:
    """The family of a model; one that no family lists is its own."""
    return _FAMILY_OF.get(model, model)
