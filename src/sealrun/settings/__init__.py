"""Settings: TOML in, checked and resolved values out. Rooms: schema (as written), expanding, suggesting, loading."""

from sealrun.settings.expanding import Secret
from sealrun.settings.loading import load_settings
from sealrun.settings.resolved import RegistrySettings, Settings

__all__ = ["RegistrySettings", "Secret", "Settings", "load_settings"]
