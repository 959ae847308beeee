"""
One installation: the default account, and the accounts with a table of their own.
"""

from msgspec import Struct

from service.errors import SettingsError
from service.settings.model import Settings
from service.settings.reading import TomlFile


class Installation(Struct, frozen=True):
    """
    The settings of all accounts: `default` are those at the top of the file, `others` those of the
    tables `[accounts.NAME]`, in their order. `toml_file` is what they were read from, if from any.
    """

    default: Settings
    others: tuple[Settings, ...] = ()
    toml_file: TomlFile | None = None

    @property
    def accounts(self) -> tuple[Settings, ...]:
        """The active accounts, the default one first."""
        if self.is_default_active:
            return (self.default, *self.others)
        return self.others

    @property
    def is_default_active(self) -> bool:
        """
        Whether there is anything to do for the default account: always if it is the only one, else
        once it has the secret of a source or Buildr credentials.
        """
        # So that an installation whose accounts all have tables has no empty default account beside
        # them, with its own queue, worker and faults.
        has_settings = self.default.has_sources or self.default.has_buildr_credentials
        return not self.others or has_settings

    @property
    def has_buildr_credentials(self) -> bool:
        """Whether any account has a way to authenticate at Buildr."""
        return any(account.has_buildr_credentials for account in self.accounts)

    @property
    def has_sources(self) -> bool:
        """Whether any source of any account has a secret."""
        return any(account.has_sources for account in self.accounts)

    @property
    def account_names(self) -> tuple[str, ...]:
        """The names of the active accounts, in the same order."""
        return tuple(account.account for account in self.accounts)

    def account(self, name: str) -> Settings:
        """
        The settings of one account, active or not. Raises `SettingsError` that lists the accounts
        if none has this name.
        """
        for account in (self.default, *self.others):
            if account.account == name:
                return account
        names = ", ".join(self.account_names)
        raise SettingsError((f"there is no account {name}: there is {names}",))

    def narrowed_to(self, name: str) -> "Installation":
        """
        An installation of one account alone, in the place of the default one. Raises as `account`
        does.
        """
        account = self.account(name)
        if account is self.default:
            return self
        return Installation(account, toml_file=self.toml_file)
