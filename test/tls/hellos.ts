// ClientHellos: as they come over the wire, and made by rule, with what a recording has not.
import { CLIENT_HELLOS } from '../detect/hellos.js';

/** From crypto/tls of Go 1.26, for web.example: a key share of X25519MLKEM768. */
const GO =
  '16030105ec010005e8030334c4058d14d027aa044c4c314786659df4e9cb34349a69e2930589e3a1636bb3205603ee5f00d34aa4b66e' +
  'bb531e0feb0be4a290825252524a023830a8a4928ff1001ac02bc02fc02cc030cca9cca8c009c013c00ac01413011302130301000585' +
  '00000010000e00000b7765622e6578616d706c65000b00020100ff010001000017000000120000000500050100000000000a0010000e' +
  '11ec11eb11ed001d001700180019000d0016001408040403080708050806040105010601050306030032001a00180804040308070805' +
  '080604010501060105030603020102030010000e000c02683208687474702f312e31002b00050403040303003304ea04e811ec04c00a' +
  'b78e81c0370e8682ae78b326820314a3c6d711784989744406cad1444e83fa96dca55cbc69a66f514339d086bba6b30dd12746782483' +
  '801004c9836fb25fca03198e56786964cbab1bbd6b3712933122bd4a38d4b1b5b696756397990b81b8bf3a03b0ab0d94118753910593' +
  '7cb3a3464c08b8941633bdd2965fe938aef26635788241215a6bf792ade66890e4dc08a5e343ab42bd84d463be092444bb59aa982ed3' +
  '742785b10bf5501b5cd974267a765052c83582a593c87788c6c62683a71f2c6a93f115a268b2d45094fbdb8869580109458e09f1c94f' +
  'd24aa5272d20c7a5b0a073bae943c2d229d96318bd8b5b416039295052a9c93908a7450a8048ff5a59bb6a77ca487f0502c6ff2bba3a' +
  'da3f04237b233a3bd51a01c22b214ba896da582101c484b3098610814c668266be97bcc95912db06365f49921cb14f85239256b10441' +
  'd366aa0177dca31732518e292886fbe5b66c1b417f0b43bfdb1bcc852cbb1217a3a0c3e2552393d53182c71f6b47a8f07559f6c30252' +
  '2c0889450eca267dc772a04e186440e8af12c31894b2837ef65dbccb323c9828d43101b06b6fbfe783eb265b5fb2c745cb1e00738c20' +
  'c517d571cf74ba1f7abc72b76a5bb2d8688f49ba15380f67db5ef904830be185533b42735a9498822cbea73412d48f47a6912edb8be0' +
  '84c0a8862e6ef1af827c89fe4729810500c10185cd05b83b57cb7a863665fc4744c57189c24f7c533e220058c0569f5399782ffa3779' +
  '83a299a222b662036f26ad722c3f8bc6bbc5046e26549ee4074cc3aa672df4a1f141bf0ad15fc870bd8f1440dc51125a0848ad78a9b5' +
  '3a1d98c97e45f65cf1a69a8df7ca8fb284187caafb1b46c46801907c74506a0856ca8b915a51dc136ed0f6595db1beb317196f522f02' +
  '10b568c620e3eb8160f470ec38cdfd219f79f4865ee3969ae93bcbb758de56736b155de256916087790d2097a0160856e6cd740157e7' +
  '863d30154b87469f5ac384ca3519396a2df573c0013002051b0469b576c84acd6fc8cf4922186dfab17ee2b480c31aca15bc20fcc1de' +
  '194d5d484e218680d45551fa601572b98a237a53185158a7e2cfa3b4a7cce741e273772ef59b1d649330339670946fc594b6db504a92' +
  '90000fb2ca605371be69119c316891f1573950365eb830de1408806a8c58264a9d12105ebc39fad43045c4998ea4b3970bb759aa44c1' +
  '3abfaba6a5a0e578b0710ca18c625ee02f18092d55a0348e4c3faffa4aa2073dd9c5bdb6f1709f96477c419023e3b8a7fc0f83d0a1e5' +
  'f10ee37b3145fa64a9e573e7c4798e1b24697c680635537da52f2f0cadae02b5fe1aa97119c79f348273e82ddcc951d1287649c3ae15' +
  '646501f6a437760263e59956802a32d5a5e0d7c2bf2c3d7f557c239a85c6f2aeead66824a293e3464ce1a82bc1b73661ec02dec78804' +
  '15194fa01eb05c2fa02356ee270155c922fcf9ad7adc7c34a81a90c6602ab181292370ab8ab79a941a1f35a9bfb3c68db5760c107fa1' +
  '513ec7012aa1554b9aa1295931b4ba351e035978201ba89e53545d4a57422c72e43321fd287dfe57cf55c84dddf99165c4b74dd86581' +
  '1401646636cf7649683798b3d3073b906852154b36b99b86c57f9da87ddb7a2b1cb6d721c5c4898be80aa1f6675adf03234509c01d85' +
  'fa8a6802e6156184191d475038a22a9b7d98aed9da44fb4b8eb32a001d00204509c01d85fa8a6802e6156184191d475038a22a9b7d98' +
  'aed9da44fb4b8eb32a';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

/** Recorded hellos; unless their name says otherwise they ask for web.example. */
export const RECORDED: readonly { readonly name: string; readonly bytes: Buffer; readonly asksFor: string }[] = [
  ...Object.entries(CLIENT_HELLOS).map(([name, text]) => ({
    name,
    bytes: hex(text),
    asksFor: name.includes('without SNI') ? '' : 'web.example',
  })),
  { name: 'Go, X25519MLKEM768', bytes: hex(GO), asksFor: 'web.example' },
];

const u8 = (value: number): Buffer => Buffer.from([value]);
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const u24 = (value: number): Buffer => Buffer.from([value >> 16, (value >> 8) & 255, value & 255]);
const vector8 = (...parts: Buffer[]): Buffer => Buffer.concat([u8(Buffer.concat(parts).length), ...parts]);
const vector16 = (...parts: Buffer[]): Buffer => Buffer.concat([u16(Buffer.concat(parts).length), ...parts]);

export const extension = (type: number, data: Buffer): Buffer => Buffer.concat([u16(type), vector16(data)]);
export const serverName = (name: string): Buffer =>
  extension(0, vector16(u8(0), vector16(Buffer.from(name, 'latin1'))));
/** Of no meaning, as clients send them so that servers bear what they don't know (RFC 8701). */
export const grease = (value: number): Buffer => extension(value, u8(0));
export const padding = (bytes: number): Buffer => extension(21, Buffer.alloc(bytes));
/** encrypted_client_hello (RFC 9849), the outer one, with an inner hello that nobody can read. */
export const ech = (): Buffer =>
  extension(
    0xfe0d,
    Buffer.concat([u8(0), u16(1), u16(1), u8(7), vector16(Buffer.alloc(32, 1)), vector16(Buffer.alloc(239, 2))]),
  );

/** The message; with `extensions` undefined it ends before there are any. */
export function hello(extensions: readonly Buffer[] | undefined): Buffer {
  const body = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 0x55),
    vector8(Buffer.alloc(32, 0xaa)),
    vector16(u16(0x0a0a), u16(0x1301), u16(0x1302)),
    vector8(u8(0)),
    ...(extensions === undefined ? [] : [vector16(...extensions)]),
  ]);
  return Buffer.concat([u8(1), u24(body.length), body]);
}

/** Records of at most `size` bytes of the message each. */
export function records(message: Buffer, size = 16384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const payload = message.subarray(at, at + size);
    parts.push(u8(22), u16(0x0301), vector16(payload));
  }
  return Buffer.concat(parts);
}
