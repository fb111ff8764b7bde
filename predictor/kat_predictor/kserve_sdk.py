"""KServe's SDK. At its import it parses the command line of the process; ours is none of its business."""

from __future__ import annotations

import logging
import sys
import warnings

from fastapi.exceptions import FastAPIDeprecationWarning

# KServe's answers use a class that FastAPI has deprecated: nothing that whoever runs this server could change.
warnings.filterwarnings("ignore", category=FastAPIDeprecationWarning, module=r"kserve\.")

# KServe configures its logger unless that has a handler already.
logging.getLogger("kserve").addHandler(logging.NullHandler())

# For OpenAI routes of its own KServe would import vLLM wherever that is installed: a quarter of a minute in which no port
# is open. None in this place makes the import fail, as it does where vLLM is not installed.
sys.modules.setdefault("kserve.protocol.rest.openai", None)  # type: ignore[arg-type] # documented, yet not typed

_argv = sys.argv
sys.argv = sys.argv[:1]
try:
    from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
    from kserve.model_server import app
finally:
    sys.argv = _argv

__all__ = ["InferOutput", "InferRequest", "InferResponse", "Model", "ModelServer", "app"]
