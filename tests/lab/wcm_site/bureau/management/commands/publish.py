"""Write the whole published site anew."""

from typing import Any

from django.core.management.base import BaseCommand

from bureau.published import write_all


class Command(BaseCommand):
    """`manage.py publish`: every live page as a file in /srv/site; the distribution then carries them on."""

    help = "writes every live page as a file below /srv/site, and removes files of pages that are gone"

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say how many."""
        self.stdout.write(f"{write_all()} pages published")
