"""``python -m mopar.runtime.aws_lambda``."""

from mopar.runtime.aws_lambda.start import main

main()
