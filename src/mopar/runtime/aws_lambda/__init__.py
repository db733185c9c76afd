"""A function of AWS Lambda: it speaks Lambda's runtime API itself, one invocation after the other.

    python -m mopar.runtime.aws_lambda FUNCTION.json

``mopar.runtime.aws_lambda.envelope`` has the form of its messages, ``mopar.runtime.config`` that of the configuration.
Lambda's own runtime client is not needed: it imports what ``mopar.runtime.http`` avoids, and holds a message several
times (docs/decisions/lambda-handler.md has the figures).
"""
