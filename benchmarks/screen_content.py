"""What stands on the forty screens: titles, fields, tables and one question each.

``#`` is a seeded digit and ``{name}``, ``{town}`` (or ``{Town}``), ``{word}``, ``{date}``,
``{time}`` are seeded choices, so another seed gives forty other screens. Knows nothing of how they are drawn or asked.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace

__all__ = ["Content", "contents"]

_CHOICES = {
    "name": "Priya Nair|Tomas Berg|Amelia Okafor|Lena Hofmann|Marc Delvaux|Yuki Tanabe|Owen Price",
    "town": "alder|kestrel|linden|fjord|harrow|meridian|larkspur|saltmarsh|tamarack|windmill",
    "word": "projects|archive|payroll|drawings|exports|recipes|minutes|scans",
    "date": "3 March 2025|14 April 2025|27 May 2025|9 June 2025|18 July 2025|30 August 2025",
    "time": "08:15|09:40|11:05|13:25|14:50|16:10|17:35",
}


@dataclass(frozen=True)
class Content:
    """One screen.

    Attributes:
        kind: how it is laid out: dialog, settings, page, table, login, tiles or terminal.
        title: of its window, unlike any other's.
        heading: the large line within it.
        text: paragraphs below the heading.
        fields: labels and values; for a table its rows, for a terminal lines with empty labels.
        asked: which field, and for a table which column.
        question: with ``{}`` where the window may be named, and ``{key}`` for a table's row.
        where: names the window in a question, for when it is not attached.
        answer: the asked string.
        buttons: at the bottom.
        side: entries of a navigation on the left, or the column heads of a table.
    """

    kind: str
    title: str
    heading: str
    text: tuple[str, ...]
    fields: tuple[tuple[str, ...], ...]
    asked: tuple[int, int]
    question: str
    where: str
    answer: str = ""
    buttons: tuple[str, ...] = ()
    side: tuple[str, ...] = ()

    def ask(self, named: bool) -> str:
        """The question, with or without the name of its window."""
        key = self.fields[self.asked[0]][0]
        return self.question.format(f" {self.where}" if named else "", key=key)


def contents(seed: int) -> list[Content]:
    """The forty screens of a seed."""
    rng = random.Random(seed)
    screens = [_filled(_read(block), rng) for block in _SCREENS.strip().split("\n\n")]
    assert len(screens) == 40 and len({screen.title for screen in screens}) == 40
    return screens


def _read(block: str) -> Content:
    """A block of ``key: value`` lines; ``-`` opens a field, ``*`` the asked one."""
    parts: dict[str, list[str]] = {}
    fields: list[tuple[str, ...]] = []
    asked = (0, 1)
    for line in block.splitlines():
        key, _, value = line.partition(" ")
        if key in "-*":
            cells = value.split(" | ")
            column = next((i for i, cell in enumerate(cells) if cell.startswith("*")), 1)
            asked = (len(fields), column) if key == "*" else asked
            fields.append(tuple(cell.removeprefix("*") for cell in cells))
        else:
            parts.setdefault(key, []).append(value)
    lists = {key: tuple(parts.get(key, [""])[0].split(" | ")) for key in ("buttons", "side")}
    return Content(
        kind=parts["kind"][0],
        title=parts["title"][0],
        heading=parts["heading"][0],
        text=tuple(parts.get("text", ())),
        fields=tuple(fields),
        asked=asked,
        question=parts["question"][0],
        where=parts["where"][0],
        answer=parts.get("answer", [""])[0],
        buttons=tuple(filter(None, lists["buttons"])),
        side=tuple(filter(None, lists["side"])),
    )


def _filled(content: Content, rng: random.Random) -> Content:
    chosen = {name: rng.choice(words.split("|")) for name, words in _CHOICES.items()}

    def fill(text: str) -> str:
        for name, word in chosen.items():
            text = text.replace(f"{{{name}}}", word).replace(
                f"{{{name.title()}}}", word.title()
            )
        return re.sub("#", lambda _: str(rng.randint(1, 9)), text)

    fields = tuple(tuple(fill(cell) for cell in field) for field in content.fields)
    row, column = content.asked
    return replace(
        content,
        fields=fields,
        heading=fill(content.heading),
        text=tuple(fill(text) for text in content.text),
        answer=fill(content.answer) or fields[row][column],
    )


_SCREENS = """
kind dialog
title Harbour Sync
heading Folder could not be synchronised
text The folder was not reachable. Your files are safe on this computer and will be sent as soon as the connection is back.
- Server | files.{town}.example
* Error code | 0x8007####
- Time | {date}, {time}
question What is the error code{}?
where in the Harbour Sync message
buttons Retry | Work offline | Cancel

kind dialog
title Northwind Mail
heading Message was not sent
text The outgoing server refused the message to {name}. It stays in the Outbox.
- Outgoing server | smtp.{town}.example
* Reply | 550 5.7.# Relaying denied
- Message size | 4.# MB
question What did the outgoing server reply{}?
where in Northwind Mail
buttons Edit message | Close

kind dialog
title Backup Assistant
heading The backup has stopped
text There is not enough room on the drive “Vault {Town}”. Delete old backups or choose another drive.
* Space needed | 4#.# GB
- Space available | 3.# GB
- Report | BA-1##2
question How much space is needed{}?
where by the Backup Assistant
buttons Choose drive | Delete old backups | Close

kind dialog
title Imaging Utility
heading Scanner reports a fault
text Open the cover, remove the paper and close the cover again until it clicks.
- Device | Lumen S4#0
* Fault code | E-2#7
- Pages scanned | 1#
question Which fault code does the scanner show{}?
where in the Imaging Utility
buttons Continue | Cancel job

kind dialog
title System Update
heading Some updates were not installed
text The computer was put back to where it was before. Updates are tried again tonight at {time}.
* Failed update | KB50####1
- Result | 0x80070###
- Installed updates | 6 of 7
question Which update failed{}?
where in System Update
buttons Try now | Details | Close

kind dialog
title Query Console
heading Connection refused
text The server did not accept the connection. Check that it is running and that the firewall lets you through.
- Host | db-eu-#.{town}.example
* Port | 54##
- Database | {word}_live
- User | reporting
question Which port was used{}?
where in the Query Console
buttons Edit connection | OK

kind dialog
title Licence Manager
heading Your licence has run out
text You can open and print drawings, but changes cannot be saved until the licence is renewed.
- Product | Orchard Draft Professional
- Licence key | OD7-####-##QX-9##1
* Expired on | {date}
question When did the licence expire{}?
where in the Licence Manager
buttons Renew | Enter key | Later

kind dialog
title Tunnel Client
heading Sign-in was refused
text The gateway vpn#.{town}.example closed the connection (event TC-6##). Ask your help desk for a new certificate.
- Profile | {Town} remote
- Certificate valid until | {date}
* Event | TC-6##
question What event number should I tell the help desk{}?
where about the Tunnel Client
buttons Reconnect | Copy report | Close

kind settings
title Account settings – Alder Mail
heading Incoming mail
- Protocol | IMAP
* Server address | imap.{town}.example
- Port | 993
- Security | SSL/TLS
- Check for mail | every 15 minutes
question Which server address is set{}?
where in the Alder Mail account settings
buttons Save | Cancel
side General | Incoming mail | Outgoing mail | Signatures | Junk filter

kind settings
title Network preferences
heading Ethernet
- Status | Connected
- Configured | Using DHCP
* IP address | 192.168.#.1##
- Subnet mask | 255.255.255.0
- Router | 192.168.#.1
- DNS server | 9.9.9.9
question What is the IP address of this computer{}?
where according to the Network preferences
buttons Advanced… | Apply
side Wi-Fi | Ethernet | Bluetooth | Firewall

kind settings
title Proxy configuration
heading Web proxy
text Programs on this computer reach the internet through the proxy below.
- Host name | proxy.{town}.example
* Proxy port | 31##
- Sign-in | with the Windows account
- No proxy for | localhost, *.{town}.example
question What proxy port is set{}?
where in the Proxy configuration
buttons Test | OK | Cancel

kind settings
title Display settings
heading Second display
- Resolution | 2560 × 1440
* Refresh rate | 1#5 Hz
- Scale | 125 %
- Orientation | Landscape
- Night light | Off
question What is the refresh rate{}?
where in the Display settings
buttons Identify | Keep changes
side Display | Sound | Notifications | Power | Storage

kind settings
title Printer properties – Lumen C310
heading About this printer
- Name | Printer at {name}'s desk
- Model | Lumen C310dn
* Serial number | LC3-####8##
- Firmware | 2.#.1##
- Pages printed | 1#,4##
question What is the serial number of the printer{}?
where Lumen C310
buttons Print test page | Close
side General | Ports | Paper | About

kind settings
title Brook Router – Status
heading Router status
- Internet | Connected since {date}
- WAN address | 81.1##.#.4#
* Firmware version | 7.##.#-r2
- Connected devices | 1#
- Guest network | Off
question Which firmware version is installed{}?
where on the Brook Router
buttons Restart | Check for update
side Status | Internet | Wireless | Guests | Log

kind settings
title Desk phone – Web interface
heading Line 1
- Display name | {name}
* Extension | 44##
- Registrar | pbx.{town}.example
- Voicemail | On after 20 seconds
- Ring tone | Classic
question What extension does this phone have{}?
where according to the Desk phone web interface
buttons Save | Reload

kind settings
title Language and region
heading Date and time
- Language | English (United Kingdom)
* Time zone | (UTC+0#:00) {Town} Standard Time
- First day of the week | Monday
- Set time automatically | On
- Time server | time.{town}.example
question Which time zone is selected{}?
where under Language and region
buttons Sync now | OK

kind settings
title My profile – Lowland Rail
heading Personal details
- Name | {name}
* E-mail address | {town}.##@post.example
- Telephone | +32 4## 55 ## ##
- Customer since | {date}
- Newsletter | No
question Which e-mail address is on the account{}?
where in the Lowland Rail profile
buttons Change | Sign out
side Personal details | Tickets | Payments | Privacy

kind settings
title About this computer
heading Specifications
- Device name | LT-{town}-##
- Processor | Kite R7 #840
* Installed memory | 3#.0 GB
- Storage | 512 GB
- System version | 24.#.1
question How much memory is installed{}?
where according to the About this computer page
buttons Rename | Copy
side Home | Devices | Apps | About

kind page
title Your order – Fernhill Tools
heading Thank you for your order
text We have sent a confirmation to your e-mail address.
- Order number | FT-2####
- Order date | {date}
- Carrier | Swift Parcels
* Tracking number | SP#####1##GB
- Delivery address | 1# Mill Lane, Ashby
question What is the tracking number{}?
where of the Fernhill Tools order
buttons Track parcel | Print

kind page
title Checkout – Paper & Twine
heading Order summary
- Sketchbook A4, 2 × £8.50 | £17.00
- Bookbinding thread, 3 × £4.20 | £12.60
- Subtotal | £29.60
- Delivery | £4.9#
* Total to pay | £3#.5#
question What is the total to pay{}?
where at the Paper & Twine checkout
buttons Pay now | Back to basket

kind page
title Delivery status – Oakline
heading Your table is on its way
text The driver calls half an hour before arriving. Two people will carry the parcel to the room you choose.
- Consignment | OK-88###
* Estimated delivery | {date}, {time}
- Items | 2 of 2
- Weight | 4#.5 kg
question When is the estimated delivery{}?
where of the Oakline parcel
buttons Change date | Contact us

kind page
title Booking – Skylark Air
heading London to Bergen
- Booking reference | Q#LX#T
- Flight | SK 4##2
- Departure | {date}, {time}
- Gate | B1#
* Seat | 1#C
question Which seat is booked{}?
where on the Skylark Air flight
buttons Check in | Add baggage
side My trips | Bookings | Points

kind page
title Reservation – Hotel Meridian
heading Double room, garden side
- Guest | {name}
- Check-in | 9 May 2025, from 15:00
* Check-out | 1# May 2025, by 11:00
- Price per night | €1#4
- Breakfast | included
question When do I have to check out{}?
where of Hotel Meridian
buttons Change | Cancel reservation

kind page
title Subscription – Cloudberry
heading Plan and payment
- Plan | Team, 1# seats
- Next payment | {date}
- Amount | €2##.00 a month
* Payment card | Visa ending in 4##1
- Billing contact | {name}
question Which payment card is used{}?
where for Cloudberry
buttons Change plan | Cancel subscription
side Members | Plan and payment | Invoices | Security

kind table
title Invoices – Ledgerly
heading Open invoices
side Invoice | Customer | Due date | Amount
- INV-204#1 | Marlow Timber | 14 March 2025 | €318.40
- INV-205#2 | Quay Bakery | 2 April 2025 | €96.00
* INV-206#3 | Fenwick & Sons | *2# April 2025 | €1,240.75
- INV-207#4 | Studio Aster | 9 May 2025 | €415.10
- INV-208#5 | Brandt Marine | 1# May 2025 | €2,067.00
question When is invoice {key} due{}?
where in Ledgerly

kind table
title Machines – Rackview
heading Virtual machines, main site
side Machine | Address | Memory | State
- web-01 | 10.20.#.11 | 4 GB | running
* web-02 | *10.20.#.1# | 4 GB | running
- db-01 | 10.20.#.31 | 16 GB | running
- cache-01 | 10.20.#.41 | 8 GB | stopped
- build-01 | 10.20.#.51 | 32 GB | running
question What is the address of {key}{}?
where in Rackview

kind table
title Departures – Central Station
heading Departures
side Train | Destination | Leaves | Platform
- IC 5#1 | Ostend | 14:05 | 1#
- S 4 #2 | Alder Park | 14:09 | 3
* IC 7#3 | Bruges | 14:17 | *1#B
- L 2#4 | Linden Hill | 14:20 | 7
- EC 9#5 | Basel | 14:31 | 9
question Which platform does train {key} leave from{}?
where according to the Central Station departures

kind table
title Stock list – Depot
heading Fasteners
side Article | Shelf | In stock | Minimum
- Hex bolt M5 × 20 | C-01 | 1,1## | 500
* Hex bolt M6 × 30 | C-02 | *3#4 | 500
- Wood screw 4 × 40 | C-07 | 2,4## | 1,000
- Washer M6 | C-11 | 88# | 400
- Wing nut M8 | C-12 | 5# | 100
question How many of {key} are in stock{}?
where in the Depot stock list

kind table
title Staff directory
heading Third floor
side Name | Department | Extension | Room
- Amelia Okafor | Purchasing | 42#1 | 3.04
- Lena Hofmann | Accounts | 43#2 | 3.06
- Priya Nair | Legal | 44#3 | 3.09
* Tomas Berg | Facilities | *45#4 | 3.12
- Yuki Tanabe | Marketing | 46#5 | 3.15
question What is the extension of {key}{}?
where in the Staff directory

kind table
title Timetable – Harrow College
heading Week 1#
side Course | Day | Time | Room
- Linear Algebra | Monday | 09:15 | A 1#4
- Organic Chemistry | Monday | 13:30 | Lab #
* Art History | Tuesday | 10:45 | *C 2#1
- Statistics | Thursday | 09:15 | A 1#2
- Spanish II | Friday | 11:00 | B 0#3
question Which room is {key} in{}?
where according to the Harrow College timetable

kind login
title Sign in – Tidepool
heading Sign in to Tidepool
* User name | {town}.{word}##
- Password | ••••••••••
question Which user name is filled in{}?
where on the Tidepool sign-in page
buttons Sign in | Forgot password?

kind login
title Welcome – Cedar Portal
heading Choose your organisation
* Organisation | {Town} Water Board
- Staff number | 70####
- PIN | ••••
question Which organisation is chosen{}?
where on the Cedar Portal
buttons Continue

kind login
title Online banking – Bank of Larch
heading Log in
text Wrong password. You have # attempts left before access is blocked.
* Customer number | 90####41
- Password | ••••••••
question Which customer number is filled in{}?
where at the Bank of Larch
buttons Log in | Unlock access

kind login
title Remote desktop – Workbench 9
heading Enter your credentials
text These credentials are used to connect to ws-##.{town}.example.
* Domain | {town}-office
- User | {word}.admin
- Password | ••••••••
question Which domain is filled in{}?
where for Workbench 9
buttons Connect | Cancel

kind tiles
title Heating – Boiler room
heading Overview
- Outside | #.5 °C
* Flow temperature | 5#.5 °C
- Return temperature | 3#.0 °C
- Water pressure | 1.# bar
- Burner | On
- Next service | {date}
question What is the flow temperature{}?
where in the boiler room

kind dialog
title Orchard Studio Setup
heading Installing Orchard Studio 7.#.2
text Please wait while the files are copied. This can take a few minutes.
- Copying | lib/render/{word}.pak
* Destination | D:\\Apps\\Orchard{word}
- Time remaining | about # minutes
question What is the destination folder{}?
where in the Orchard Studio Setup
buttons Cancel

kind dialog
title Meeting invitation
heading Budget review
- When | {date}, {time}
* Organiser | {name}
- Place | Room 2.1#, {Town} building
- Invited | 8 people
text Please bring the figures of the last quarter.
question Who is the organiser{}?
where of the Meeting invitation
buttons Accept | Tentative | Decline

kind settings
title Time Vault
heading Backups of this computer
- Drive | Vault-{Town}
* Last backup | {date}, {time}
- Next backup | tonight, 23:00
- Oldest copy | 12 January 2024
- Encrypted | Yes
question When was the last backup{}?
where according to Time Vault
buttons Back up now | Options…

kind tiles
title Solar monitor – Roof south
heading Today
- Power now | 2.#4 kW
* Energy today | 1#.8 kWh
- Peak | 4.#1 kW at {time}
- Battery | 7# %
- Exported | #.2 kWh
- Inverter | OK
question How much energy was made today{}?
where according to the Solar monitor

kind terminal
title Terminal – backup host
heading  
- out | $ ping -c 4 git.{town}.example
- out | PING git.{town}.example (203.0.113.#4): 56 data bytes
- out | 4 packets transmitted, 3 received, 25% packet loss
- out | $ git fetch origin
* out | fatal: unable to access 'https://git.{town}.example/{word}.git'
- out | error: server certificate verification failed (code ##)
question Which address could git not access{}?
where in the Terminal of the backup host
answer git.{town}.example/{word}.git
"""
