"""Go's text/template, as far as alert annotations, labels and receivers use it, sandboxed and bounded.

A template reaches only the data it is given and the functions of `functions.py`: no attributes,
no imports, no files. Output, steps and nesting are limited, so a template cannot hang evaluation.
"""

from mamimon.alerts.templates.execute import NeedQuery, TemplateError, render
from mamimon.alerts.templates.expand import Query, Sample, expand
from mamimon.alerts.templates.syntax import parse

__all__ = ["NeedQuery", "Query", "Sample", "TemplateError", "expand", "parse", "render"]
