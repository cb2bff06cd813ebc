"""Images and ledgers as text, JSON, SVG and HTML.

- ``kinds``       the kinds of bytes: a table of their signs, colours, fills and meanings
- ``cells``       division of an image into cells of equal size
- ``text``        inspections, reports and ledgers as text
- ``json``        the same for programs
- ``image_svg``   an inspection as a picture
- ``ledger_svg``  a ledger as a chart
- ``html``        pictures and tables as one page
- ``drawing``     the SVG sheet that both pictures are drawn on
- ``markup``      elements of SVG and HTML, and their escaping
"""
