"""The agents of the demo that look after things: infrastructure, an import, documents."""

from tests.tools.demo_tape import HAIKU, OPUS, SONNET, Call, Session, Speaker, Tape, Text, Thinking


def infra(tape: Tape) -> None:
    """A subagent searches while a long build runs beside it; then a plan and its application."""
    agent = Speaker(tape, Session(tape.uuid(), 47902, "/home/mia/infra", OPUS), 1.3, 52_300)
    agent.start()
    agent.until(2.4)
    agent.prompt("Move the nightly backups to the new bucket. Does anything else write there?")
    agent.say(
        Thinking(
            "Two things that don't depend on each other: the backup image must be rebuilt for "
            "the new endpoint, which takes a while, and someone must find every writer of the "
            "old bucket. A subagent can search meanwhile."
        ),
        Text("I'll build the new image, and have the writers looked up at the same time."),
        Call(
            "writers",
            "Agent",
            {
                "description": "find writers of old bucket",
                "prompt": "Find everything that writes to s3://acme-backup. Report file and line.",
                "subagent_type": "Explore",
            },
        ),
        Call(
            "build", "Bash", {"command": "docker build -t backup-runner:next .", "timeout": 300000}
        ),
    )
    helper = agent.subagent("a13c6e66ae3d44867", 11_900)
    _find_writers(helper)
    agent.result("writers", helper.clock + 0.4 - agent.session.calls["writers"][1], _REPORT)
    agent.result("build", 78.6, _BUILD)
    agent.say(
        Thinking("So two writers: the backup job and the audit export. Only the first one moves."),
        Text(
            "The image is built. Besides the backups only `audit-export` writes to the old "
            "bucket; it stays there. I'll point the backup job at the new one."
        ),
        Call(
            "bucket",
            "Edit",
            {
                "file_path": "/home/mia/infra/backup/main.tf",
                "old_string": 'bucket = "acme-backup"',
                "new_string": "bucket = aws_s3_bucket.vault.id",
            },
        ),
    )
    agent.result("bucket", 0.3, "The file backup/main.tf has been updated.")
    agent.say(Call("plan", "Bash", {"command": "terraform plan -out next.tfplan"}))
    agent.result("plan", 22.5, _PLAN)
    agent.say(
        Text(
            "The plan is what we want: **1 to change, 0 to destroy**. The job's role already may "
            "write to `acme-vault`, and the old bucket keeps its lifecycle rule, so last month's "
            "backups expire on their own.\n\nShall I apply it?"
        ),
    )
    agent.stop()
    agent.until(163.0)
    _apply(agent)


def _apply(agent: Speaker) -> None:
    agent.prompt("yes, apply it, then start one backup by hand")
    agent.say(
        Text("Applying the saved plan."),
        Call("apply", "Bash", {"command": "terraform apply next.tfplan"}),
    )
    agent.result("apply", 19.2, "Apply complete! Resources: 0 added, 1 changed, 0 destroyed.")
    agent.say(
        Text("Applied. Now one backup by hand, to see it arrive."),
        Call(
            "run", "Bash", {"command": "aws batch submit-job --job-name by-hand && ./wait by-hand"}
        ),
    )
    agent.result("run", 46.0, "SUBMITTED\nRUNNABLE\nRUNNING\nSUCCEEDED  00:00:42  1.8 GiB")
    agent.say(
        Text(
            "The backup arrived in `acme-vault`: 1.8 GiB in 42 seconds. Tonight's run at 02:00 "
            "will be the first scheduled one there."
        ),
    )
    agent.stop()


def _find_writers(helper: Speaker) -> None:
    helper.say(
        Text("I'll search the code and the job definitions."),
        Call("s3", "Grep", {"pattern": "acme-backup", "path": "/home/mia/infra"}),
        Call("jobs", "Bash", {"command": "aws events list-rules --query 'Rules[].Name'"}),
    )
    helper.result("s3", 0.6, _MATCHES)
    helper.result("jobs", 3.9, '["nightly-backup", "audit-export", "cert-renewal"]')
    helper.say(
        Thinking("restore.sh only reads. The export has a put_object, I must see its bucket."),
        Call("export", "Read", {"file_path": "/home/mia/infra/audit/export.py", "limit": 60}),
    )
    helper.result(
        "export", 0.4, '    52\t    s3.put_object(Bucket="acme-backup", Key=key, Body=rows)'
    )
    helper.say(
        Text(
            "Two writers of s3://acme-backup:\n"
            "1. backup/main.tf:18, the nightly job\n"
            "2. audit/export.py:52, `put_object`, weekly\n\n"
            "scripts/restore.sh:7 only reads. cert-renewal doesn't touch S3."
        ),
    )
    helper.subagent_stop("Explore")


_MATCHES = """\
backup/main.tf:18:  bucket = "acme-backup"
audit/export.py:52:    s3.put_object(Bucket="acme-backup", Key=key, Body=rows)
scripts/restore.sh:7:aws s3 cp s3://acme-backup/$DAY/ . --recursive"""
_REPORT = """\
Two writers of s3://acme-backup:
1. backup/main.tf:18, the nightly job
2. audit/export.py:52, `put_object`, weekly

scripts/restore.sh:7 only reads. cert-renewal doesn't touch S3."""
_BUILD = """\
#1 [internal] load build definition from Dockerfile
#5 [2/6] RUN apt-get update && apt-get install -y --no-install-recommends awscli zstd
#5 DONE 48.1s
#8 [5/6] RUN pip install -r requirements.txt
#8 DONE 21.7s
#9 exporting to image
#9 naming to docker.io/library/backup-runner:next done"""
_PLAN = """\
Terraform will perform the following actions:

  # aws_batch_job_definition.backup will be updated in-place
  ~ resource "aws_batch_job_definition" "backup" {
      ~ BUCKET = "acme-backup" -> "acme-vault"
    }

Plan: 0 to add, 1 to change, 0 to destroy."""


def importer(tape: Tape) -> None:
    """The API is overloaded twice and recovers; at the end the client is killed while it writes."""
    agent = Speaker(tape, Session(tape.uuid(), 49120, "/home/mia/importer", SONNET), 9.4, 21_700)
    agent.start()
    agent.until(11.2)
    agent.prompt("Why did last night's import skip 312 rows?")
    agent.say(
        Text("The log should say why; I'll count the reasons."),
        Call(
            "skips",
            "Bash",
            {"command": "grep SKIP logs/2026-11-19.log | cut -d: -f3 | sort | uniq -c"},
        ),
        Call("schema", "Bash", {"command": "psql -c '\\d orders'"}),
    )
    agent.result("schema", 0.9, _SCHEMA)
    agent.result("skips", 2.6, "    309  bad currency ''\n      3  duplicate id")
    agent.say(
        Thinking("309 rows without a currency. Since when does the partner leave it"),
        error="overloaded_error",
    )
    agent.clock += 2.1
    agent.say(Text("Almost all of"), error="overloaded_error")
    agent.clock += 4.6
    agent.say(
        Thinking("309 rows without a currency: is it one partner, and since when?"),
        Text("Almost all of them lack a currency. I'll see where those rows come from."),
        Call("origin", "Bash", {"command": "python tools/by_partner.py --days 30 --only-skipped"}),
    )
    agent.result("origin", 27.7, _PARTNERS)
    agent.say(
        Text(
            "It is one partner. **northwind** stopped sending `currency` on the 19th; until then "
            "it was always EUR. I'd treat an empty currency as the partner's default, and log it."
        ),
        Call(
            "default",
            "Edit",
            {
                "file_path": "/home/mia/importer/importer/rows.py",
                "old_string": 'currency = row["currency"]',
                "new_string": 'currency = row["currency"] or partner.default_currency',
            },
        ),
    )
    agent.result("default", 0.3, "The file importer/rows.py has been updated.")
    agent.say(Call("tests", "Bash", {"command": "pytest -q tests/test_rows.py"}))
    agent.result("tests", 11.2, "27 passed in 10.41s")
    agent.say(
        Text(
            "Fixed: 27 tests pass. The other 3 rows are real duplicates, rightly skipped. "
            "The 309 rows of last night still need a backfill."
        ),
    )
    agent.stop()
    agent.until(127.0)
    agent.pace = 1.7
    _backfill(agent)


def _backfill(agent: Speaker) -> None:
    agent.prompt("Backfill them, in batches of 50, and log each batch.")
    agent.say(
        Thinking(
            "The batches must be safe to run twice, so insert on conflict do nothing, and one "
            "transaction each. Log the first and last id."
        ),
        Text("I'll write it so that it can be stopped and run again."),
        Call(
            "backfill",
            "Write",
            {
                "file_path": "/home/mia/importer/tools/backfill.py",
                "content": "import sys\n\nfrom importer import db, rows\n\nBATCH = 50\n\n\n"
                "def backfill(day: str) -> None:\n"
                "    skipped = rows.skipped(day)\n"
                "    for start in range(0, len(skipped), BATCH):\n"
                "        batch = skipped[start : start + BATCH]\n"
                "        with db.transaction() as",
            },
        ),
        cut=True,
    )


_SCHEMA = """\
                  Table "public.orders"
  Column  |           Type           | Nullable
----------+--------------------------+----------
 id       | bigint                   | not null
 partner  | text                     | not null
 currency | character(3)             | not null
 total    | numeric(12,2)            | not null"""
_PARTNERS = """\
partner    first seen   rows  currency before
northwind  2026-11-19    309  EUR (100 %)"""


def docs(tape: Tape) -> None:
    """Starts later; one of three tools at once fails; streams until the recording ends."""
    agent = Speaker(tape, Session(tape.uuid(), 50044, "/home/mia/docs", HAIKU), 94.5, 14_800)
    agent.start()
    agent.until(96.2)
    agent.prompt("Which commands in the README no longer work?")
    agent.say(Call("readme", "Read", {"file_path": "/home/mia/docs/README.md"}))
    agent.result("readme", 0.3, _README)
    agent.say(
        Text("Three commands. I'll try each."),
        Call("setup", "Bash", {"command": "make setup"}),
        Call("serve", "Bash", {"command": "timeout 10 make serve"}),
        Call("publish", "Bash", {"command": "make -n publish"}),
    )
    agent.result("publish", 0.5, "make: *** No rule to make target 'publish'.  Stop.", error=True)
    agent.result("setup", 8.3, "Resolved 31 packages in 1.2s\nInstalled 31 packages in 402ms")
    agent.result("serve", 13.1, "INFO    -  Serving on http://127.0.0.1:8000/")
    agent.say(
        Text(
            "Two of three work:\n\n"
            "| command | |\n|---|---|\n"
            "| `make setup` | works |\n"
            "| `make serve` | works |\n"
            "| `make publish` | **gone**: the target is called `deploy` since May |\n\n"
            "I'll correct it and build strictly, to see broken links as well."
        ),
        Call(
            "rename",
            "Edit",
            {
                "file_path": "/home/mia/docs/README.md",
                "old_string": "make publish",
                "new_string": "make deploy",
            },
        ),
    )
    agent.result("rename", 0.2, "The file README.md has been updated.")
    _build_strictly(agent)
    agent.stop()
    agent.until(195.5)
    agent.pace = 2.3
    _draft(agent)


def _build_strictly(agent: Speaker) -> None:
    agent.say(Call("strict", "Bash", {"command": "mkdocs build --strict"}))
    agent.result("strict", 17.6, _STRICT, error=True)
    agent.say(
        Thinking("Both links point at guide/install.md, which became guide/setup.md."),
        Call(
            "links",
            "Bash",
            {"command": "grep -rl guide/install.md docs | xargs sed -i s/install.md/setup.md/"},
        ),
    )
    agent.result("links", 0.4, "")
    agent.say(Call("strict2", "Bash", {"command": "mkdocs build --strict"}))
    agent.result("strict2", 15.9, "INFO    -  Documentation built in 14.02 seconds")
    agent.say(
        Text(
            "The README is right again, and the strict build passes. It also found two links to "
            "`guide/install.md`, which was renamed to `setup.md`; I corrected both."
        ),
    )


def _draft(agent: Speaker) -> None:
    agent.prompt("Draft a short page on how to add a recipe.")
    agent.say(
        Thinking("Short: where the file goes, its front matter, how to preview it."),
        Text(
            "# Adding a recipe\n\n"
            "A recipe is one Markdown file in `docs/recipes/`. Its name becomes the address, so "
            "keep it short: `rotate-keys.md`, not `how-to-rotate-keys.md`.\n\n"
            "1. Copy `docs/recipes/_template.md`.\n"
            "2. Fill in the front matter: `title`, `needs` (what the reader must have) and "
            "`minutes`.\n"
            "3. Write the steps as commands that can be pasted. Each one says what it prints.\n"
            "4. `make serve` shows the page as you write.\n\n"
            "## Before you open a pull request\n\n"
            "`mkdocs build --strict` must pass: it fails on broken links and on recipes without "
            "`minutes`. Ask someone who has never done it to follow your steps; where they stop, "
            "a sentence is missing."
        ),
        Call(
            "page",
            "Write",
            {"file_path": "docs/recipes/index.md", "content": "# Adding a recipe\n"},
        ),
    )
    agent.result("page", 0.3, "File created successfully at: docs/recipes/index.md")
    agent.say(
        Text(
            "The draft is in `docs/recipes/index.md`. I kept it to one screen; tell me if the "
            "front matter needs an example."
        ),
    )
    agent.stop()


_README = """\
     1\t# Handbook
     2\t
     3\t    make setup      # once
     4\t    make serve      # write and look
     5\t    make publish    # to handbook.acme.example"""
_STRICT = """\
Exit code 1
WARNING -  Doc file 'ops/backup.md' contains a link 'guide/install.md', but the target is missing
WARNING -  Doc file 'index.md' contains a link 'guide/install.md', but the target is missing
Aborted with 2 warnings in strict mode!"""
