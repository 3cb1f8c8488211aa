"""Run by `skewless plugin build`, in the folder that has the plugin's files in `app`: prints the signature. Not for authors.

What is wrong with a plugin is told with its own lines, without those of the kit.
"""

import os
import sys
import traceback

sys.path.insert(0, "app")
HERE = os.path.join(os.getcwd(), "app", "")
KIT = "skewless_guest"

try:
    import plugin
    import skewless_guest

    signature = skewless_guest.of_module(plugin).signature()
except Exception as error:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(HERE) and frame.filename != f"{HERE}{KIT}.py"]
    text = "".join([*traceback.format_list(own), *traceback.format_exception_only(error)]).replace(HERE, "")
    if isinstance(error, ModuleNotFoundError):
        text += (
            f"The kit's name is {KIT}.\n"
            if error.name == "skewless"
            else "A plugin has Python's standard library, the modules of its folder, and packages of pure Python that are installed there:\n"
            "pip install --target FOLDER PACKAGE. Packages with compiled parts, as numpy has, don't work.\n"
        )
    sys.exit(text)
print("\n" + signature)
