"""`kat env`: what a shell needs to talk to the platform that `kat up` runs."""

from __future__ import annotations

import shlex

import click

from kat.home import credentials_path, load_credentials


@click.command(short_help="Print shell lines that point the OpenAI SDK at the platform of `kat up`.")
def env() -> None:
    """Print lines for `eval "$(kat env)"`: the variables that the OpenAI SDK reads by itself."""
    credentials = load_credentials()
    if credentials is None:
        raise click.ClickException(f"{credentials_path()} is missing: start the platform with `kat up` first")
    variables = {
        "OPENAI_BASE_URL": f"{credentials.predictor_url}/v1",
        "OPENAI_API_KEY": credentials.api_key.get_secret_value(),
    }
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
