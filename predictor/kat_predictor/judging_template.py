"""The chat template of a model that judges: its generation prompt ends inside the judge segment, as KAT-V1's does."""

from __future__ import annotations

from typing import Final

JUDGING_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<judge>\\n' }}{% endif %}"
)
"""ChatML without a system turn of its own. It knows no tools: the predictor writes these out as text.

What is trained in it and what is served in it must agree to the token, so that both take it from here.
"""
