"""A mistake in a cell's own file is told in one sentence, with the file and the line where it was made."""

import re

import pytest

import rnnbench as rb
from rnnbench.lang import cell, tanh

HEAD = '"""Mine."""\n\nfrom rnnbench.lang import cell, sigmoid, tanh, where\n\n\n'
STEP = '@cell(states="h c")\ndef mine(x, R, b, h, c):\n    g = sigmoid(x.g + R.g(h) + b.g)\n'

# The step's lines after the first three; the line that is wrong is marked with a comment. What the sentence says.
MISTAKES = {
    "an unknown name": ("    c = g * c + tanh(xs.c)  # wrong\n    return tanh(c), c\n", "name 'xs' is not defined"),
    "a misspelt variable": (
        "    forget = sigmoid(x.f)\n    c = forgte * c  # wrong\n    return tanh(c), c\n",
        "did you mean forget",
    ),
    "a function that is not imported": (
        "    return tanh(c), softplus(c)  # wrong\n",
        "import softplus from rnnbench.lang",
    ),
    "a missing argument": ("    c = g * p.u\n    return tanh(c), c\n", "make p an argument"),
    "a state not returned": (
        "    c = g * c\n    return tanh(c)  # wrong\n",
        "returns 1 value but declares 2 states: h, c",
    ),
    "nothing returned": ("    c = g * c  # wrong\n", "returns 0 values but declares 2 states: h, c"),
    "Python's if": ("    if g >= 0.5:  # wrong\n        c = -c\n    return tanh(c), c\n", "where"),
    "Python's and": ("    c = g and c  # wrong\n    return tanh(c), c\n", "where"),
    "a comparison that is not in the language": (
        "    c = where(g > 0.5, c, g)  # wrong\n    return tanh(c), c\n",
        "comparisons are >= and <=",
    ),
    "a comparison in arithmetic": (
        "    c = (g >= 0.5) * c  # wrong\n    return tanh(c), c\n",
        "a comparison is no value",
    ),
    "an equality": ("    if g == 0:  # wrong\n        c = -c\n    return tanh(c), c\n", "comparisons are >= and <="),
    "an inequality over two lines": (
        "    c = c if (g !=  # wrong\n        0.5) else -c\n    return tanh(c), c\n",
        "comparisons are >= and <=",
    ),
    "a comparison with None": (
        "    c = -c if h is None else c  # wrong\n    return tanh(c), c\n",
        "comparisons are >= and <=",
    ),
    "a call of a projection": ("    c = x.c(h)  # wrong\n    return c, c\n", "'symbol' object is not callable"),
    "adding in place": ("    c += x  # wrong\n    return c, c\n", r"got .*\bx, .*as in x\.h"),
    "a comparison without blanks": (
        "    c = c*(g<=0.5)  # wrong\n    return tanh(c), c\n",
        "a comparison is no value",
    ),
    "a comparison returned": ("    return tanh(c), g >= c  # wrong\n", "for state 'c' is a comparison"),
    "text returned": ('    return tanh(c), "c"  # wrong\n', "for state 'c' is no value: .* got str 'c'"),
    "a function returned": ("    return tanh, c  # wrong\n", "for state 'h' is no value: .* got function"),
    "an array returned": ("    return tanh(c), [c, g]  # wrong\n", "for state 'c' is no value: .* got list"),
    "x without a name": ("    c = tanh(x + R.c(h))  # wrong\n    return c, c\n", r"got .*\bx, .*as in x\.h"),
    "x in a function": ("    c = tanh(x)  # wrong\n    return c, c\n", r"got .*\bx, .*as in x\.h"),
    "x called": ("    c = tanh(x(h))  # wrong\n    return c, c\n", r"got x, .*as in x\.h"),
    "R without a name": ("    c = tanh(x.c + R(h))  # wrong\n    return c, c\n", r"got R, .*as in R\.h\(h\)"),
    "R without a call": ("    c = tanh(x.c + R.c)  # wrong\n    return c, c\n", r"R\.c, .*as in R\.c\(h\)"),
    "R multiplied": ("    c = tanh(R.c * h)  # wrong\n    return c, c\n", r"R\.c, .*as in R\.c\(h\)"),
    "R with @": ("    c = tanh(h @ R.c)  # wrong\n    return c, c\n", r"R\.c, .*as in R\.c\(h\)"),
    "a bias without a name": ("    c = x.c + b  # wrong\n    return c, c\n", r"got .*\bb, .*as in b\.h"),
    "unpacking": ("    i, f = x.gates  # wrong\n    return i, f\n", "cannot be unpacked"),
    "unpacking x": ("    i, f = x  # wrong\n    return i, f\n", r"got x, .*as in x\.h"),
    "an index": ("    c = h[0]  # wrong\n    return c, c\n", "'symbol' object is not subscriptable"),
    "an attribute of a symbol": ("    c = h.T  # wrong\n    return c, c\n", "'symbol' object has no attribute 'T'"),
    "abs": ("    c = abs(c)  # wrong\n    return c, c\n", "use absolute of rnnbench.lang"),
    "a power": ("    c = c**3  # wrong\n    return c, c\n", "power 2"),
    "NumPy": (
        "    import numpy as np\n    c = np.tanh(c)  # wrong\n    return c, c\n",
        "symbol .* no callable tanh method; symbols take .* the functions of rnnbench.lang",
    ),
    "math": (
        "    import math\n    c = math.tanh(c)  # wrong\n    return c, c\n",
        "symbols take .* the functions of rnnbench.lang",
    ),
    "an exception of its own": (
        "    c = c * (1 / 0)  # wrong\n    return c, c\n",
        "ZeroDivisionError: division by zero",
    ),
    "two operands": ("    c = R.c(h, c)  # wrong\n    return c, c\n", "takes 2 positional arguments but 3 were given"),
}


def told(path, text, name="mine"):
    """Return what load_cell says of a file with this text, after checking that it is one sentence."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(rb.RnnbenchError) as caught:
        rb.load_cell(f"{path}:{name}")
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def line_of(text, mark="# wrong"):
    return next(number for number, line in enumerate(text.splitlines(), 1) if mark in line)


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_in_a_step_has_its_line_and_a_sentence(kind, tmp_path):
    body, said = MISTAKES[kind]
    text = HEAD + STEP + body
    message = told(tmp_path / "mine.py", text)
    line = line_of(text) if "# wrong" in text else line_of(text, "p.u")
    assert message.startswith(f"cell mine ({tmp_path / 'mine.py'}:{line}): ")
    assert re.search(said, message), message


def test_a_file_in_the_folder_of_work_is_named_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = told(tmp_path / "mine.py", HEAD + STEP + "    return tanh(c), d\n")
    assert message.startswith("cell mine (mine.py:9): name 'd' is not defined")


def test_the_line_is_that_of_the_step_or_of_a_function_beside_it(tmp_path):
    beside = "def gate(a):\n    return a if a >= 0 else -a  # wrong\n\n\n"
    text = HEAD + beside + STEP + "    return gate(c), c\n"
    assert f"mine.py:{line_of(text)}): " in told(tmp_path / "mine.py", text)


@pytest.mark.parametrize(
    ("decorator", "signature", "said"),
    [
        ('@cell(states="h")  # wrong', "x, R, h", "returns 2 values but declares 1 state"),
        ('@cell(states="h c")', "x, R, q, h, c", "argument 'q' is neither x, R, b, p, a declared state (h, c) nor"),
        (
            '@cell(states="h c", structures={"R.g": "antisymetric"})  # wrong',
            "x, R, h, c",
            "did you mean antisymmetric",
        ),
        (
            '@cell(states="h c", structures={"R.q": "antisymmetric"})  # wrong',
            "x, R, h, c",
            "unknown parameter in weights",
        ),
        ('@cell(\n    states="h c",\n    structures={"R.g": "low_rank(0)"},  # wrong\n)', "x, R, h, c", "whole number"),
        (
            '@cell(states="h c", structures={"x": "low_rank(2)"}, output="q")  # wrong',
            "x, R, h, c",
            "not one of its states",
        ),
    ],
)
def test_a_mistake_in_what_is_declared_has_its_line(decorator, signature, said, tmp_path):
    if "q" in signature:
        signature += "  # wrong\n"
    text = HEAD + f"{decorator}\ndef mine({signature}):\n    return tanh(x.h + R.g(h)), h\n"
    if 'states="h")' in decorator:
        text = text.replace("  # wrong", "").replace(", h\n", ", h  # wrong\n")
    message = told(tmp_path / "mine.py", text)
    assert f"mine.py:{line_of(text)}" in message
    assert said in message


def test_a_shape_that_cannot_be_has_its_line(tmp_path):
    text = HEAD + (
        '@cell(\n    states="h",\n    structures={"b.h": "antisymmetric"},  # wrong\n)\n'
        "def mine(x, R, b, h):\n    return tanh(x.h + R.h(h) + b.h)\n"
    )
    message = told(tmp_path / "mine.py", text)
    assert f"mine.py:{line_of(text)}): weights antisymmetric of b.h needs a square matrix" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def mine(:  # wrong\n", "invalid syntax"),
        ("from rnnbench.lang import tannh  # wrong\n", "cannot import name 'tannh'"),
        ("LIMIT = [][1]  # wrong\n", "list index out of range"),
    ],
)
def test_a_file_that_does_not_run_has_its_line(text, said, tmp_path):
    text = HEAD + text
    message = told(tmp_path / "mine.py", text)
    assert f"mine.py:{line_of(text)} failed: " in message
    assert said in message


def test_the_step_may_be_edited_and_loaded_again(tmp_path):
    path = tmp_path / "mine.py"
    body = '@cell(states="h", structures={"R.q": "antisymmetric"})\ndef mine(x, R, h):\n    return tanh(x.h + R.h(h))\n'
    assert "mine.py:6): " in told(path, HEAD + body)
    assert "mine.py:8): " in told(path, HEAD + "\n\n" + body)
    path.write_text(HEAD + body.replace("R.q", "R.h"), encoding="utf-8")
    assert rb.load_cell(f"{path}:mine").structures == {"R.h": "antisymmetric"}


def test_hyper_parameters_are_numbers_that_may_be_compared():
    @cell(states="h")
    def mine(x, R, h, mode=1.0):
        return tanh(x.h + R.h(h)) if mode == 1.0 else x.h

    assert (mine.recurrence, mine.trace(mode=2.0).recurrence) == ("dense", "linear")


def test_a_hyper_parameter_by_keyword_only_is_one():
    @cell(states="h")
    def mine(x, R, h, *, rate=0.5):
        return (1 - rate) * h + rate * tanh(x.h + R.h(h))

    assert mine.trace(rate=0.25).digest != mine.program.digest
