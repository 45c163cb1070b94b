#!/bin/sh
# Two jobs of a pipeline: the first shows what a migration would do, the second does exactly that.
#
#   MONGODB_URI=mongodb://… sh examples/ci_pipeline.sh plan      # writes nothing
#   MONGODB_URI=mongodb://… sh examples/ci_pipeline.sh migrate   # after a person has read plan.json
#
# The connection string is a secret of the pipeline, in the environment or in a file for
# --uri-file, never an argument. Exit codes: newbi-migrate --help.
set -u

case "${1:-}" in
plan)
    # Artefacts: what is to be followed, and the report to review. No personal data in either.
    newbi-migrate plan --json --output plan.json >report.json
    code=$?
    case $code in
    0) echo "Ready: nothing is quarantined." ;;
    # What is quarantined keeps its place and needs a person; whether to go on is your decision.
    5) echo "Ready, but something would be quarantined: read \"quarantine\" in report.json." ;;
    9) echo "The database cannot be reached, or is not what was expected." ;;
    *) echo "No plan: the reason is in report.json." ;;
    esac
    exit $code
    ;;
migrate)
    # A run that was interrupted (7) goes on where it stopped, by the same command.
    for attempt in 1 2 3; do
        newbi-migrate migrate --plan plan.json --confirm --json >result.json
        code=$?
        [ $code -eq 7 ] || break
        echo "Attempt $attempt was interrupted."
    done
    case $code in
    0) echo "Done." ;;
    5) echo "Done, and something was quarantined: read \"quarantine\" in result.json." ;;
    3) echo "Not as planned, or documents kept coming in: read result.json." ;;
    6) echo "Another run is under way; nothing was written." ;;
    *) echo "Not done: the reason is in result.json." ;;
    esac
    exit $code
    ;;
*)
    echo "usage: $0 plan|migrate" >&2
    exit 2
    ;;
esac
