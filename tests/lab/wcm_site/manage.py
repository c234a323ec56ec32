#!/opt/wcm/bin/python
"""Commands of the bureau's WCM; `publish` and `seed` are its own, the others Django's and Wagtail's."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bureau.settings")
execute_from_command_line(sys.argv)
