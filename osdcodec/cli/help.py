"""How help texts are laid out: whole summaries of commands, and the options of long commands in groups."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

GROUPS = {  # of the options of encode and decode, by the names of their parameters; what is on none stands first
    "Size and quality": (
        "lmbda", "quality", "target_bpp", "max_bytes", "total_bytes", "target_ms_ssim", "effort", "roi", "progressive",
    ),
    "Size of the picture": ("resize", "max_side", "scale", "crop", "show", "shrink", "no_shrink", "original_size"),
    "Picture": (
        "alpha", "icc", "keep_metadata", "max_pixels", "strict", "seed", "detail", "steps", "preview", "partial", "salvage",
        "form", "trust", "trust_overlay", "tell_errors", "mark",
    ),
    "Links": ("link", "seconds", "packets", "packet", "repair", "region"),
    "Output": ("output", "overwrite", "skip_existing", "dry_run", "quiet", "verbose", "as_json", "verify"),
    "Many files": ("files_from", "nul", "comments", "jobs", "engine", "ray_address"),
    "Machine": ("device", "profile", "compiled", "weights_dir"),
}  # fmt: skip


class Summaries(TyperGroup):
    """A group whose help shows the summaries of its commands whole."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        commands = [(name, command) for name, command in found if command and not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(1000)) for name, command in commands])


class GroupedOptions(TyperCommand):
    """A command whose help shows its options in GROUPS."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        rows: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", "Options", *GROUPS)}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                general = "Arguments" if parameter.param_type_name == "argument" else "Options"
                rows[next((group for group, names in GROUPS.items() if parameter.name in names), general)].append(
                    record
                )
        for group, records in rows.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)
