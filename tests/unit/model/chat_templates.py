"""Chat templates of the kinds that models bring along, and a tokenizer for them."""

from pathlib import Path

from tokenizers import AddedToken

from model.tokenization.tokenizer import Tokenizer

IM = ["<|im_start|>", "<|im_end|>"]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Tools in a system turn, calls as JSON in tags, results in turns of their own.
TOOLS = """\
{%- if tools %}<|im_start|>system
You may call:{% for tool in tools %}
{{ tool | tojson }}{% endfor %}<|im_end|>
{% endif %}
{%- for m in messages %}<|im_start|>{{ m.role }}{% if m.name %} ({{ m.name }}){% endif %}

{% if m.role == 'assistant' %}{% generation %}{{ m.content }}
{%- for call in m.tool_calls or [] %}
<call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</call>
{%- endfor %}<|im_end|>{% endgeneration %}{% else %}
{%- if m.tool_call_id %}[{{ m.tool_call_id }}] {% endif %}{{ m.content }}<|im_end|>{% endif %}

{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# The same without marks, without names and ids, and with arguments that are text as they are.
TOOLS_BY_TURN = """\
{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool.function.name }}: {{ tool.function.description }}
{% for key, value in tool.function.parameters.properties.items() %}- {{ key }}: {{ value.type }}
{% endfor %}{% endfor %}<|im_end|>
{% endif %}
{%- for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}
{%- for call in m.tool_calls or [] %}
<call>{{ call.function.name }} {{ call.function.arguments if call.function.arguments is string else
 call.function.arguments | tojson }}</call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# Calls take the place of the text.
CALLS_ONLY = """\
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.tool_calls %}{% for call in m.tool_calls %}{{ call.function | tojson }}{% endfor %}{% else %}
{{- m.content }}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# Reasoning is shown in the last answer only.
REASONING = """\
{%- for m in messages %}<|im_start|>{{ m.role }}
{% set said = m.content %}{% if m.role == 'assistant' and '</think>' in said and not loop.last %}
{%- set said = said.split('</think>')[-1].lstrip('\\n') %}{% endif %}
{%- if m.reasoning_content and loop.last %}<think>
{{ m.reasoning_content }}
</think>
{% endif %}{{ said }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# Turns must alternate, and there is no system.
STRICT = """\
{%- for m in messages %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}
{%- if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}
{%- endfor %}"""

TEXT = (
    'what is the weather in Paris now? it is sunny. {"name": "get_weather", "arguments": {"city": "Paris"}} 12 degrees '
    "system user assistant tool <call></call> <think> let me see </think> done\n"
)


def tokenizer_with(template: str | None, *, eos: str = "<|im_end|>") -> Tokenizer:
    """A small byte-level BPE with ChatML's special tokens and this template."""
    trained = Tokenizer.train_bpe([TEXT] * 40, 330)
    backend = trained._templated
    backend.add_special_tokens([AddedToken(token, special=True) for token in IM])
    return Tokenizer(backend, special_tokens={"eos_token": eos, "bos_token": "<|bos|>"}, chat_template=template)


def folder_with(folder: Path, template: str | None) -> Path:
    """The same, saved as a model's folder has it."""
    tokenizer_with(template).save(folder)
    return folder
