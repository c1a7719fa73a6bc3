"""The one composition root: settings become running parts here, and nowhere else.

Rooms: `registries` opens registries, `producing` seals and publishes, `consuming` reads and moves pointers, `running`
builds the daemon; `parts` is the face that the interfaces see.
"""
