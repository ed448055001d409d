"""With REQUESTLAB_ASK=1, a cell whose prediction is still None is not run: so "Run all" stops at each."""

from __future__ import annotations

import ast

import IPython
from IPython.core.error import InputRejected

ASK_VARIABLE = "REQUESTLAB_ASK"
PREDICTION = "predicted"
"""So the names of predictions begin."""


class _StopAtNone(ast.NodeTransformer):
    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        names = [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
        empty = any(isinstance(part, ast.Constant) and part.value is None for part in ast.walk(node.value))
        if empty and any(name.startswith(PREDICTION) for name in names):
            raise InputRejected(
                f"write your guess in place of None, and run this cell again; then go on with Run > Run Selected Cell "
                f"and All Below ({ASK_VARIABLE} is set, so nothing is measured before you have guessed)"
            )
        return node


def install() -> None:
    """Have the running notebook stop at each prediction that is None; elsewhere, do nothing."""
    shell = IPython.get_ipython()
    if shell is not None and not any(isinstance(one, _StopAtNone) for one in shell.ast_transformers):
        shell.ast_transformers.append(_StopAtNone())
