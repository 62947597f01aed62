/* Kernel interfaces that the headers of Debian 12 (Linux 6.1) do not have yet. */
#ifndef WEFT_UAPI_COMPAT_H
#define WEFT_UAPI_COMPAT_H

#include <linux/if_tun.h>
#include <linux/udp.h>
#include <linux/virtio_net.h>

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#endif
