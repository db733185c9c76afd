"""Recurrent networks; imported only in the exporting process.

The number of time steps is fixed in both: ``torch.export`` fixes it in any case.
"""

from torch import Tensor, nn


class LanguageModel(nn.Module):
    """Scores of the next token at each time step: the large LSTM of PyTorch's word language model."""

    def __init__(self, vocabulary: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, num_layers=layers, batch_first=True)
        self.decoder = nn.Linear(width, vocabulary)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Scores (batch, steps, vocabulary) of tokens (batch, steps)."""
        scores: Tensor = self.decoder(self.lstm(self.embedding(input_ids))[0])
        return scores


class Tagger(nn.Module):
    """Label scores at each time step, by a bidirectional LSTM."""

    def __init__(self, features: int, width: int, layers: int, labels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, width, num_layers=layers, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * width, labels)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (batch, steps, labels) of features (batch, steps, features)."""
        scores: Tensor = self.head(self.lstm(x)[0])
        return scores


def lstm_lm() -> nn.Module:
    """Two layers of 650 units over a vocabulary of 33,000 (Zaremba et al. 2014, arXiv 1409.2329, medium)."""
    return LanguageModel(vocabulary=33_000, width=650, layers=2)


def bilstm() -> nn.Module:
    """Two layers of 256 units in both directions (Graves and Schmidhuber 2005), and a classifier for each step."""
    return Tagger(features=128, width=256, layers=2, labels=32)
