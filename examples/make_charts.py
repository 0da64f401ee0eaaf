"""Write the charts, the papers and the questions of the set ``charts``, about an invented island.

    python examples/make_charts.py [FOLDER]      (FOLDER defaults to examples/questions)

Writes charts.jsonl, charts.toml and the folder charts/. The numbers come from a seed, and the
answers from the numbers, so none is copied by hand. Needs pillow and matplotlib. The questions are
the same with any version of them; pictures may differ by a pixel.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from limner.agent.evaluation.formats.jsonl import write_jsonl
from limner.agent.evaluation.questions import Place, Question
from limner.examples.island import (
    A4,
    CHARTS,
    DAYS,
    FIGURE,
    INVOICE_NUMBER,
    MADE,
    MONEY,
    MONTHS,
    VILLAGES,
    Box,
    Data,
    energy,
    euros,
    make_data,
    parcels,
    passengers,
    pixels,
    save_chart,
    totals,
    write,
    write_papers,
)

NUMBER = "Answer with the number alone."
WORDS = "Answer in as few words as possible."
TITLE = 'title = "Charts and papers of Corran Island"\ndocuments = ["charts"]\n'


def number(value: int) -> tuple[str, ...]:
    """A number as people write it."""
    return (str(value),) if value < 1000 else (f"{value:,}", str(value))


def on_chart(data: Data) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Chart, question and answers: what the attached chart tells."""
    p, b, e, t = data.passengers, data.bicycles, data.energy, data.parcels
    most, least = MONTHS[p.index(max(p))], MONTHS[p.index(min(p))]
    yield "passengers", f"How many passengers did the ferry carry in July? {NUMBER}", number(p[3])
    yield "passengers", f"In which month did the ferry carry the most people? {WORDS}", (most,)
    yield "passengers", (f"How many more passengers were there in {most} than in {least}? "
                         f"{NUMBER}"), number(max(p) - min(p))  # fmt: skip
    yield "parcels", f"How many parcels went to Kilbride? {NUMBER}", number(t[1])
    yield "parcels", f"Which village got the fewest parcels? {WORDS}", (VILLAGES[t.index(min(t))],)
    yield (
        "parcels",
        f"How many parcels were delivered in all five villages? {NUMBER}",
        number(sum(t)),
    )
    yield (
        "temperature",
        f"How warm was the harbour in June, in °C? {NUMBER}",
        number(data.harbour[5]),
    )
    yield "temperature", f"What is the highest monthly mean on the hilltop? {NUMBER}", ("14",)
    yield "temperature", f"Which of the two places is warmer in winter? {WORDS}", ("Harbour",)
    yield "budget", f"What share goes to the schools, in percent? {NUMBER}", (
        str(data.budget["Schools"]), f"{data.budget['Schools']} %")  # fmt: skip
    yield "budget", f"What does the council spend most on? {WORDS}", ("Ferry",)
    together = data.budget["Roads"] + data.budget["Harbour"]
    yield "budget", f"How many percent do roads and harbour take together? {NUMBER}", (
        str(together), f"{together} %")  # fmt: skip
    yield "energy", f"How much electricity did the wind give in 2027, in MWh? {NUMBER}", number(
        e["Wind"][0])  # fmt: skip
    total = sum(values[4] for values in e.values())
    yield "energy", f"How much was made from all sources in 2031, in MWh? {NUMBER}", number(total)
    yield "energy", f"How many sources are shown? {NUMBER}", ("3", "three")
    yield "reservoir", f"How full was the reservoir in week 5, in percent? {NUMBER}", ("64", "64 %")
    below = sum(value < 50 for value in data.water)
    yield "reservoir", f"In how many weeks was water rationed? {NUMBER}", (str(below),)
    yield "bicycles", f"How many bicycles were hired at the school on Friday? {NUMBER}", number(
        b["School"][4])  # fmt: skip
    best = b["Pier"].index(max(b["Pier"]))
    yield "bicycles", f"On which day were most bicycles hired at the pier? {WORDS}", (
        DAYS[best], DAYS[best][:3])  # fmt: skip
    yield "turbine", f"How strong was the wind on the day the blade was frozen, in m/s? {NUMBER}", (
        number(data.wind[8][0]))  # fmt: skip


def on_paper(data: Data) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Where the answer stands, question and answers: what the papers tell."""
    net, tax = totals(data)
    village, meter, values = data.meters[2]
    used = values[3] - values[0]
    left = sum(value for _, value in MONEY)
    yield "report.pdf#1", "How many members did the energy cooperative have?", ("318",)
    yield "report.pdf#1", "Who switched on the battery in the ice house?", ("Una Macrae",)
    yield "report.pdf#1", "How much electricity came from the sun in the whole of 2032?", (
        f"{sum(MADE[2][1])} MWh", str(sum(MADE[2][1])))  # fmt: skip
    yield "report.pdf#2", "What did the cooperative pay in wages?", ("188,300 euros", "188,300")
    yield "report.pdf#2", "How much money was left over?", (f"{left:,} euros", f"{left:,}")
    yield "report.pdf#2", "When do the members meet next?", ("14 March 2033",)
    yield "invoice.html", "What is the number of the pump maker's invoice?", (INVOICE_NUMBER,)
    yield "invoice.html", "By when is the invoice for the pump parts to be paid?", ("5 June 2031",)
    yield "invoice.html", "What is to be paid to Ardmore Pumps, tax included?", (euros(net + tax),)
    yield "invoice.html", "How much tax is on the invoice of Ardmore Pumps?", (euros(tax),)
    yield "meters.csv", f"What is the number of the meter in {village}?", (f"M{meter}",)
    yield "meters.csv", (f"How much electricity did {village} use between 1 January and "
                         "1 October?"), (f"{used:,} kWh", f"{used:,}", str(used))  # fmt: skip
    yield "minutes.md", "Who relays the slipway, and for how much?", (
        "Strand Brothers for 38,700 euros",)  # fmt: skip
    yield "minutes.md", "What does a mooring for a boat of 10 metres cost in 2032?", (
        "610 euros a year", "610 euros", "610")  # fmt: skip


TO_SHOW = (
    ("passengers.png", "Show me the chart of ferry passengers."),
    ("reservoir.png", "Is there a picture of how the water in the reservoir fell and rose again?"),
    ("budget.png", "Can I see as a graph what the council spends its money on?"),
)
ABSENT = (
    "How many passengers did the ferry carry in December 2031?",
    "Which village got the most parcels in week 40?",
    "What did the invoice for the harbour crane come to?",
    "Who was elected treasurer of the harbour committee?",
    "What does a weekly ticket for the bicycles cost?",
)
"""Near to what is there, and not there."""


def to_mark(data: Data) -> Iterator[tuple[str, str, Box]]:
    """Chart, question and the box meant; the corners are exact whatever the fonts."""
    most = data.passengers.index(max(data.passengers))
    yield "passengers.png", "Mark the tallest bar.", pixels(
        passengers(data), most - 0.3, data.passengers[most], most + 0.3, 0)  # fmt: skip
    least = data.parcels.index(min(data.parcels))
    yield "parcels.png", "Mark the bar of the village with the fewest parcels.", pixels(
        parcels(data), 0, least - 0.3, data.parcels[least], least + 0.3)  # fmt: skip
    sunny = data.energy["Wind"][4] + data.energy["Hydro"][4]
    yield "energy.png", "Mark the part of the bar of 2031 that stands for the sun.", pixels(
        energy(data), 3.7, sunny + data.energy["Sun"][4], 4.3, sunny)  # fmt: skip


def questions(data: Data, folder: Path) -> list[Question]:
    """The whole set, numbered within its categories; ``folder`` is where the pictures lie."""
    found = [
        *_chart_questions(data, folder.resolve()),
        *_paper_questions(data),
        *_figure_questions(),
    ]
    found += [
        Question("", asked, (str(folder.resolve() / name),), boxes=(Place(name, box=box),),
                 category="pointing", task="mark", document=name)
        for name, asked, box in to_mark(data)
    ]  # fmt: skip
    found += [
        Question("", asked, reference_images=(), category="not-in-library", task="qa",
                 answerable=False)
        for asked in ABSENT
    ]  # fmt: skip
    counts: Counter[str] = Counter()
    for place, question in enumerate(found):
        counts[question.category] += 1
        number = counts[question.category]
        found[place] = replace(question, id=f"{question.category}-{number:02}")
    return found


def _chart_questions(data: Data, folder: Path) -> Iterator[Question]:
    for chart, asked, answers in on_chart(data):
        name = f"{chart}.png"
        yield Question("", asked, (str(folder / name),), answers, relevant=(name,),
                       category="chart", task="qa", document=name)  # fmt: skip


def _paper_questions(data: Data) -> Iterator[Question]:
    for where, asked, answers in on_paper(data):
        name = where.partition("#")[0]
        yield Question("", f"{asked} {WORDS}", (), answers, (), relevant=(where,),
                       category="document", task="qa", document=name)  # fmt: skip


def _figure_questions() -> Iterator[Question]:
    for name, asked in TO_SHOW:
        yield Question("", asked, reference_images=(Place(name),), relevant=(name,),
                       category="figure", task="show", document=name)  # fmt: skip
    left, bottom, width, height = FIGURE
    across, down = A4
    box = (round(across * left), round(down * (1 - bottom - height)),
           round(across * (left + width)), round(down * (1 - bottom)))  # fmt: skip
    yield Question("", "Show me the figure of the electricity made in each quarter.",
                   reference_images=(Place("report.pdf", 1, box),), relevant=("report.pdf#1",),
                   category="figure", task="show", document="report.pdf")  # fmt: skip


def main(folder: Path) -> None:
    """Write everything into a folder."""
    data, papers = make_data(), folder / "charts"
    papers.mkdir(parents=True, exist_ok=True)
    for name, draw in CHARTS.items():
        save_chart(draw(data), papers / name)
    write_papers(data, papers)
    write_jsonl(questions(data, papers), folder / "charts.jsonl")
    write(folder / "charts.toml", TITLE)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "questions")
