"""The section of data quality, from dqm/dqm.json and, where it is there, dqm/calibrate.json."""

from __future__ import annotations

from typing import Any

from offline.report.numbers import interval, number
from offline.report.page import Section, Table, Text
from offline.report.sections import Run, add_pictures


def fill(section: Section, run: Run, document: Any) -> None:
    """Fill the section of the report."""
    about = document["reference"]
    section.blocks.append(
        Text(
            f"{document['sections']:,} lumi sections with {document['events']:,} events of {document['file']} beside a "
            f"reference of {about['file']}, part '{about['part']}'; thresholds for {number(about['rate'])} false "
            f"alarms per lumi section of {about['per_lumi']:,.0f} events."
        )
    )
    rows = [
        [f"{e['since']['run']} : {e['since']['lumi']}", str(e["raised"]["lumi"]), str(e["last"]["lumi"]), e["what"]]
        for e in document["episodes"]
    ]
    if rows:
        section.blocks.append(Table("Alarms", ["since run : lumi section", "raised", "last", "what"], rows))
    else:
        section.blocks.append(Text("No lumi section raised an alarm."))
    calibrated = run.json("dqm/calibrate.json")
    if calibrated is not None:
        found = [
            [row["fault"], number(row["median"]), number(row["ninety_percent"]), interval(row["within_5"], 100)]
            for row in calibrated["faults"]
        ]
        alarms = calibrated["false_alarms"]
        caption = (
            f"Injected faults: lumi sections to detection. False alarms: {alarms['alarms']:,} in "
            f"{alarms['sections']:,} lumi sections without faults"
        )
        section.blocks.append(Table(caption, ["fault", "median", "90 %", "found within 5 [%]"], found))
    add_pictures(section, run, document["plots"], run.folder / "dqm")
