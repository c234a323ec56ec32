"""What every verb stands on, under one name; each thing lies in the file of its own that is imported here."""

from .arguments import ASKS, CHANGES, SLOW_ASKS, Spec, Verb
from .clock import boot_id, boottime
from .errors import Answer, Args, Failed, Refused, Token, not_in_policy
from .files import put_file, sync_folder
from .inodes import Inodes, inodes_of
from .listing import Listing
from .manifest import FILE, FOLDER, SYMLINK, Entry, Manifest, entry_of, stays_inside
from .manifests import store_manifest
from .places import ENVIRONMENT, MAX_LINE_BYTES, VERSION, Places
from .policy import Policy, content_user, name_of, owner_of
from .processes import PR_SET_NO_NEW_PRIVS, die_with_parent, end_work, family_of, libc, process_table, start_of
from .pull import Pull
from .tree import Tree, remove_tree, sha256_of
from .units import units_state
from .values import among, between, digest, flag, is_int, parse_json, prefix_length, text, texts
from .words import plain, shown, size_text, utc_text
from .work import LONGEST_SECONDS, TOOL_SECONDS, Work

_libc = libc

__all__ = [
    "ASKS",
    "Answer",
    "Args",
    "CHANGES",
    "ENVIRONMENT",
    "Entry",
    "FILE",
    "FOLDER",
    "Failed",
    "Inodes",
    "LONGEST_SECONDS",
    "Listing",
    "MAX_LINE_BYTES",
    "Manifest",
    "PR_SET_NO_NEW_PRIVS",
    "Places",
    "Policy",
    "Pull",
    "Refused",
    "SLOW_ASKS",
    "SYMLINK",
    "Spec",
    "TOOL_SECONDS",
    "Token",
    "Tree",
    "VERSION",
    "Verb",
    "Work",
    "among",
    "between",
    "boot_id",
    "boottime",
    "content_user",
    "die_with_parent",
    "digest",
    "end_work",
    "entry_of",
    "family_of",
    "flag",
    "inodes_of",
    "is_int",
    "libc",
    "name_of",
    "not_in_policy",
    "owner_of",
    "parse_json",
    "plain",
    "prefix_length",
    "process_table",
    "put_file",
    "remove_tree",
    "sha256_of",
    "shown",
    "size_text",
    "start_of",
    "stays_inside",
    "store_manifest",
    "sync_folder",
    "text",
    "texts",
    "units_state",
    "utc_text",
]
