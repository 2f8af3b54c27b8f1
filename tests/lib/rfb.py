# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""As much of a VNC client as a test needs (RFC 6143): security type None, raw pixels, keys."""
import socket
import struct


class Rfb:
    """A session on a Unix socket; .width, .height, .name."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(path)
        self.version = self.take(12)
        self.sock.sendall(b"RFB 003.008\n")
        types = self.take(self.take(1)[0])
        if 1 not in types:
            raise ValueError("the VNC server wants a password: %r" % types)
        self.sock.sendall(b"\1")
        if self.take(4) != b"\0\0\0\0":
            raise ValueError("the VNC server refuses")
        self.sock.sendall(b"\1")
        self.width, self.height = struct.unpack(">HH", self.take(4))
        self.take(16)
        self.name = self.take(struct.unpack(">I", self.take(4))[0]).decode()
        # 32 bits a pixel, little endian, red above green above blue; raw, and the size may change
        self.sock.sendall(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        self.sock.sendall(struct.pack(">BxHii", 2, 2, 0, -223))

    def take(self, n):
        data = bytearray()
        while len(data) < n:
            got = self.sock.recv(n - len(data))
            if not got:
                raise ValueError("the VNC server closed the connection")
            data += got
        return bytes(data)

    def picture(self):
        """The whole screen: (width, height, bytes of 4 per pixel: blue, green, red, -)."""
        self.sock.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))
        screen = bytearray(self.width * self.height * 4)
        while True:
            kind = self.take(1)[0]
            if kind == 2:
                continue
            if kind != 0:
                raise ValueError("unexpected VNC message %d" % kind)
            resized = False
            for _ in range(struct.unpack(">xH", self.take(3))[0]):
                x, y, w, h, encoding = struct.unpack(">HHHHi", self.take(12))
                if encoding == -223:
                    self.width, self.height, resized = w, h, True
                    continue
                rows = self.take(w * h * 4)
                if resized:
                    continue
                for i in range(h):
                    at = ((y + i) * self.width + x) * 4
                    screen[at:at + w * 4] = rows[i * w * 4:(i + 1) * w * 4]
            if resized:
                return self.picture()
            return self.width, self.height, bytes(screen)

    def type(self, text):
        for c in text:
            key = 0xff0d if c == "\n" else ord(c)
            for down in (1, 0):
                self.sock.sendall(struct.pack(">BBxxI", 4, down, key))
