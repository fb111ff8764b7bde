"""The predictor: hosts an auto-think model behind KServe and the OpenAI API, and accounts every token."""
