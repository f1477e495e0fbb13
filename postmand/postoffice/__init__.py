"""The path of a message: in (`office`), out to its owner (`maildrop`), on (`release`).

This package decides nothing about addresses, headers or storage: it calls those who do.
"""

from postmand.postoffice.allowance import Allowance
from postmand.postoffice.checkdesk import CheckDesk
from postmand.postoffice.desks import QuotaDesk, StampCounter, Stationery
from postmand.postoffice.maildrop import Maildrop, restored_growth
from postmand.postoffice.office import Abroad, OfficeSettings, PostOffice
from postmand.postoffice.release import Release, ReleaseSettings
from postmand.postoffice.submitter import Submitter

__all__ = [
    "Abroad",
    "Allowance",
    "CheckDesk",
    "Maildrop",
    "OfficeSettings",
    "PostOffice",
    "QuotaDesk",
    "Release",
    "ReleaseSettings",
    "StampCounter",
    "Stationery",
    "Submitter",
    "restored_growth",
]
