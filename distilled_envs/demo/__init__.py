"""A page to try: choose a dataset and a network, take the one step, and watch before and after.

``page`` lays it out in Gradio, and is the only module here that needs it. The others say what there
is to see, as text, HTML and SVG, and can be used without a browser.
"""
