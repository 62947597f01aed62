{
  # The addon: everything below core/, io/, sys/ and binding/. Built by npm's own node-gyp at install.
  "targets": [
    {
      "target_name": "weft",
      "sources": [
        "<!@(printf '%s\\n' core/*.c io/*.c sys/*.c binding/*.c)"
      ],
      "cflags": [
        "-std=gnu11", "-O3",
        "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
        "-fstack-protector-strong", "-fstack-clash-protection", "-fcf-protection",
        "-fvisibility=hidden"
      ],
      "cflags!": ["-O2"],
      "defines": ["_FORTIFY_SOURCE=2", "_GNU_SOURCE"],
      "ldflags": ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]
    }
  ]
}
