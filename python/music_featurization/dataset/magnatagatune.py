"""Describe MagnaTagATune: its standard split by folder, and how to recognise its clips."""

import hashlib
import re

from music_featurization.dataset import clip_names

# The field's standard split. All clips of a song are in one folder, so no song is in two parts.
FOLDERS = {"train": "0123456789ab", "val": "c", "test": "def"}
HEARD_FOLDERS = FOLDERS["train"] + FOLDERS["val"]  # what musicnn's network was trained and validated on

# The 446 albums `<artist>-<album>` of the archive, each as the first 8 digits of its SHA-256. Folders 0-f and names
# such as a-b-01-c-0-29.mp3 do not prove that a clip is MagnaTagATune's: the demo and other collections imitate them.
ALBUMS = frozenset(
    """
    015041f0 019b1ae8 01eb431f 025cd8f8 031ecb73 03ce2fb5 04462be6 04f5a625 06009ae4 06eba4b0 076bc32c 0784b94d
    07a0a8f7 07e9802a 0807b4e8 08c04ff1 08cb8e9b 0af0dc95 0c10a771 0c802ff8 0ce241f1 0d7e5c97 0dda07ec 0f489624
    0fbd6769 10358c0b 10e5f9c7 113639e8 1143fad6 11c80c6d 120a300d 139b8eac 163a8b53 16797959 1825c911 183f5d76
    18b2a0c1 18e62ef0 19783ba0 198678f0 1a1d76b6 1a693410 1a9f8c3d 1ab112d7 1ab4bd87 1b0116af 1b180411 1b6862c8
    1c0d39ac 1c6a879a 1c8e830f 1ce4870e 1e32c331 1ed0fd0b 1fbb3dde 20b01fbc 22d2d489 246977cf 25e867d9 261dcc6c
    264b6dbc 267d67ce 268a9da0 26fd47ad 27fef5f8 280fecd7 28be5dab 2971a642 299468c2 2a322069 2a525107 2a56b5f3
    2ae21136 2b514dc2 2b8e3caa 2bf7e4cc 2cfe50ed 2e1ac71f 2e57539c 2e74e08f 2f12fe44 2f530c7f 300a06f0 32285805
    327ef95b 32a8bc51 334a85dd 33eb7887 33eefc9e 34163b97 34f5107e 35004fa2 3506f260 353f34cd 35629ca0 366cf95a
    37099a53 371ac46d 3790d6e2 37cf6ff3 3962a6f1 39ddf23a 3a13151c 3a34217e 3b05f6df 3b77245b 3c2d9fb1 3ccd4fe5
    3dbc6d01 3df84fa9 3e0454d9 3e6ef4d8 40c23f5d 4139b590 413e97e4 41a6c0c1 43888c1b 438cdc9c 43f11135 440e7130
    443d11c8 44f7b784 45abbd75 4615cd3a 47b57a34 47d31518 48448aa1 488b19c5 49c7f8ed 4b179161 4b676928 4c01fee3
    4c65b9eb 4d6c72b0 4e72c9c6 4ec2421c 4f768411 4fe20a7c 50345671 510cc359 522fd49e 52ec2a87 530feb90 536a9f65
    53d26c7d 544d2002 54d8f235 553405a3 573ca0f8 57de80bd 584acef7 587c754a 59ad7546 5a88abe7 5ba6cd0b 5c47e84b
    5c5aff14 5c5e1080 5cb6f5ad 5d54b919 5e0e595f 5e4adf6e 5e55ad46 5f5c9cb3 5f62adbc 5f8b7139 5fd1e463 601d7321
    60369e26 60b08c11 60ce90a3 61410b38 61c7ad90 6264344c 632c08bc 63b807ad 63e6ffd0 650a0bc7 65488205 658ce8e8
    65948a91 665906de 6678834c 67032e9f 692c850c 693f4193 6960e0d1 6a534e8c 6b0c7989 6b1b580d 6bcaf828 6bf880fe
    6d0a2a8e 6d538ae3 6daca03e 6dfa0034 6e5f813c 6e605f7b 6e882fd7 6eee596d 6f2be6d5 6f452c34 70bbaef0 70dcfdd2
    71712cac 71a0cc71 72281c33 72461756 7277ac5a 72ebf871 731612e1 7381b96b 739a61b4 73a67347 742e413a 745f52ac
    7554295f 756ba626 75deb41a 75e2acf1 76427a36 76a4bf49 76c4fcb9 77391315 7759da62 7782f217 7815ee3c 79fb1dff
    7a84061c 7bb9932f 7bd1585c 7bf62ddd 7bfe75f4 7cd393b5 7d3bc4cd 7d7218c4 7e90a7e7 7e9965ff 7e9d8369 7f36301b
    7f44c52b 7fa279e4 7fc7c812 7fec54c2 806b22ca 8087c092 819a9784 82536a1b 84b06dcb 8567df0f 864ae504 86cf9b36
    8737ec13 87ab41d6 88c469a7 8a01d64d 8a081c05 8ad78036 8b5f7beb 8c511c5f 8c7e3b5e 8ea7ad8d 8faf729d 8fd8a3dd
    90762354 91b7c9ff 926644ad 9268538b 9356460c 939907c5 93d91628 940ec932 9603c54c 975e3f33 9a423ea0 9a6da8f6
    9c82e859 9c97e76c 9d4325b5 9eb2a9a7 9f2f772b 9fbe8b57 a0550933 a140c541 a1ce4aa0 a1edecc1 a35e2e5e a35f8a9e
    a3aa507b a3e9b800 a4a46eab a5f16f3b a6e379ca a72900d0 a7b3e4ac a83eef50 a88eb757 a92b93fd a9422421 a9c7b119
    aa1f0327 aacbdf82 ad0fb671 ae678f79 aea03626 af8cbcac b09eed7f b0bd65e3 b1820046 b19d4438 b1e7c41f b241d5e5
    b2943c15 b2e7c5f7 b3f19416 b41db160 b59a5cf7 b71e253b b8172abe b9045263 b951822b b974d9ef b9cdf416 ba4bebf9
    baed4779 bb4ad8b6 bbe77e73 bbf21f52 bc4818d5 bc74c4d8 be988007 bf5eee05 bf7b6d1f c0fbb963 c1eaf7f6 c3fa5bf3
    c488b25f c4d070a2 c4d156af c5b460d7 c7379c7a c8065362 c8592aed c987fe2f ca31947e ca38eed8 cb132d5a cc2d9736
    cc85c5e2 cce323a8 cd2b27b5 cd679a58 cdad78fa cdce7121 ce363056 ce48dfa6 ce5d3dde ce97f2de cf08c552 cf6d50c4
    cf84ba23 d01ff984 d0fb617c d1227163 d1499e33 d21319ca d2596f95 d3220058 d4bc856b d4dc872a d576d034 d7421310
    d7cae869 d87f7ce9 da63eecc daeb7f3b db2ec070 db6f2a12 dc39e7d2 dcd55ef1 dd25878a de5c90f3 df664b2c df9a27e9
    e0166fdb e049854d e08c62b0 e14b2eb6 e21de4cd e246b451 e249d5e2 e2704331 e2859b10 e36db47e e44087c5 e596037c
    e5f4509e e6a43ebd e6eaaf45 e724b900 e72931d9 e79874f6 e937cb9f e949e854 e9b9b7e8 ea22ae4c ea779e4c eb18a364
    ed2ad72d ed72663e ede56fad ee5fd875 eeab8eed eefcbee9 ef5faa43 efc52873 f138062a f1f8b2a3 f2361179 f27ef79b
    f289a68f f2d7d9ef f354caee f417d10e f43c4c2c f4894f9e f5fbaf60 f6ab0813 f6f11625 f7240d40 f763580a f8d1feac
    f9c5677d f9d3ea7a fa313228 fa9e9a5f fb1c0043 fbad69b7 fc3e33bc fc86df63 fcefc446 fdadf096 fdbca58e fde5c885
    fe83a77e fed5d6d1
    """.split()
)


def folder(path: str) -> str:
    """Return the first folder of a clip's path, "" if the clip is in none."""
    return path.partition("/")[0] if "/" in path else ""


def is_clip(path: str) -> bool:
    """Return whether a clip or spectrogram is from an album of MagnaTagATune."""
    album = re.match(r"[^-]+-.+?(?=-\d\d-)", clip_names.parse(path).song)
    return album is not None and hashlib.sha256(album[0].encode()).hexdigest()[:8] in ALBUMS


def was_heard(path: str) -> bool:
    """Return whether musicnn's MagnaTagATune network was trained or validated on a clip.

    `path` is relative to `mp3_files` or `spectrograms`, in the folder that the archive gives it.

    Examples
    --------
    >>> was_heard("f/joram-moments_of_clarity-08-solipsism-59-88.npy")
    False
    """
    name = folder(path)
    return len(name) == 1 and name in HEARD_FOLDERS and is_clip(path)
