/** What the tests use of the raw-socket package, which brings no types. */
declare module "raw-socket" {
  interface RawSocket {
    setOption(level: number, option: number, value: number): void;
    send(
      bytes: Buffer,
      offset: number,
      length: number,
      address: string,
      sent: (error: Error | null) => void,
    ): void;
    close(): void;
  }
  const raw: {
    createSocket(options: { readonly protocol: number; readonly addressFamily: number }): RawSocket;
    readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number };
    readonly Protocol: { readonly UDP: number };
    readonly SocketLevel: { readonly IPPROTO_IP: number; readonly IPPROTO_IPV6: number };
    readonly SocketOption: { readonly IP_HDRINCL: number };
  };
  // eslint-disable-next-line no-restricted-exports -- the package is CommonJS
  export default raw;
}
