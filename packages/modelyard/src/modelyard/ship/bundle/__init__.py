"""The whole project as one zip: code, data, models, reports, logs, and a manifest of it all.

`contents` says what goes in, `archive` writes it whole or not at all, `check` holds a zip against
its manifest, `opening` makes a project of it again; `wheels` packs the software that is at work.
"""

from modelyard.ship.bundle.archive import Made, bundle
from modelyard.ship.bundle.check import Checked, verify
from modelyard.ship.bundle.opening import unfold

__all__ = ["Checked", "Made", "bundle", "unfold", "verify"]
