"""The service's description: an OpenAPI 3.1 document made from the manifest, and its page."""

from modelyard_serve.openapi.docs import DOCS_CSS, docs_page
from modelyard_serve.openapi.document import document

__all__ = ["DOCS_CSS", "docs_page", "document"]
