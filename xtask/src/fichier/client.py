"""pyOneFichierClient against the emulator: python client.py API_URL KEY.

The package has the address of the API in every call and offers no way to change it. It makes all its requests with one
`requests` session of its module, so what is put in here is an adapter of that session that sends what is meant for
1fichier.com to the emulator instead. Nothing of the package is changed.
"""

import os
import sys
import tempfile

import requests
from pyOneFichierClient.OneFichierAPI import py1FichierClient as package

API, KEY = sys.argv[1], sys.argv[2]
HOST = API.removesuffix("/v1")


class ToTheEmulator(requests.adapters.HTTPAdapter):
    def send(self, request, *arguments, **options):
        at = request.url.index("://") + 3
        request.url = HOST + request.url[request.url.index("/", at):]
        return super().send(request, *arguments, **options)


package.s.mount("https://", ToTheEmulator())
client = package.FichierClient(KEY)


def names(folder):
    return sorted(item["filename"] for item in client._get_files(folder)["items"])


os.chdir(tempfile.mkdtemp())
# The package sends a file of this name, whatever it is asked to send.
with open("TESTFILE.dat", "wb") as file:
    file.write(b"Hello world\n")
link = client.upload_file("TESTFILE.dat")
assert link.startswith("https://1fichier.com/?"), link
assert names(0) == ["TESTFILE.dat"], names(0)
info = client.get_file_info(link)
assert (info["filename"], info["size"]) == ("TESTFILE.dat", 12), info
assert info["checksum"].startswith("0a894ff039da399d"), info
made = client._APIcall("https://api.1fichier.com/v1/folder/mkdir.cgi", json={"name": "python"})["folder_id"]
assert client.copy_file([link], made, rename="copy.dat")["copied"] == 1
assert client.move_file([link], made)["moved"] == 1
assert names(made) == ["TESTFILE.dat", "copy.dat"], names(made)
folder = client.resolve_path("/python")
assert requests.get(client.get_download_link(link)).content == b"Hello world\n"
links = [item["url"] for item in client._get_files(made)["items"]]
assert client.remove_file(links)["removed"] == 2
assert names(made) == []
