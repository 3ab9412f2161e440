"""tests/golden/chat.json: chat templates as transformers renders them, or refuses to. usage: make_chat.py OUT"""
import json
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template

TEMPLATES = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "smollm2": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI "
               "assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
               "+ '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "mistral": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception("
               "'Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + "
               "message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ "
               "raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    "gemma": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in "
             "messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ "
             "'<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{"
             "'<start_of_turn>model\n'}}{% endif %}",
    "blocks": "{%- set ns = namespace(seen=0) %}\n{% for m in messages %}\n    {%- if m.role == 'system' %}\n  sys: {{ m.content.strip() }}\n    {% else %}\n"
              "{{ loop.index }}/{{ loop.length }} {{ m['role'].upper() }}: {{ m.content | tojson }}\n    {% endif %}\n    {% set ns.seen = ns.seen + 1 %}\n"
              "{% endfor %}\nseen {{ ns.seen }}{% if tools is defined and tools %} tools{% endif %}{{ '\n' }}"
              "{%- if 'x' in messages[0].content and not messages[0].content.startswith('y') %} x {% endif %}\n",
    "methods": "{% for m in messages if m.role != 'system' %}{{ m.content.split('a')[0] }}|{{ m.content.replace('e', 'E') }}|{{ m.get('name', 'none') }}|"
               "{{ m.items() | list | length }}{% if loop.last %}{% break %}{% endif %}{% endfor %}{{ messages | map(attribute='role') | join(', ') }}"
               "{{ messages[-1:] | length }}{{ messages[::-1][0].role }}",
}
CONVERSATIONS = [
    [("user", "Hello there, what is an axe?")],
    [("system", " Be brief. "), ("user", "Zażółć \"gęślą\" <jaźń> & more\n\ttabs"), ("assistant", "Yes."), ("user", "Why?")],
    [("user", "a"), ("user", "b")],
    [("tool", "x")],
]
cases = []
for name, source in TEMPLATES.items():
    template = _compile_jinja_template(source)
    for conversation in CONVERSATIONS:
        for prompt in (False, True):
            case = {"name": name, "template": source, "messages": conversation, "add_generation_prompt": prompt}
            messages = [{"role": r, "content": c} for r, c in conversation]
            try:
                case["text"] = template.render(messages=messages, tools=None, documents=None, add_generation_prompt=prompt, bos_token="<s>",
                                               eos_token="</s>")
            except Exception as error:
                case["error"] = str(error)
            cases.append(case)
json.dump(cases, open(sys.argv[1], "w"), indent=0, ensure_ascii=False)
print(len(cases), sum("error" in c for c in cases))
