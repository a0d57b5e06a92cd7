import type { LookupAddress } from 'node:dns'
import { describe, expect, it } from 'vitest'
import { AddressRefused, guardedLookup, isPublicAddress, type Resolve } from './address.js'

describe('isPublicAddress', () => {
  it.each([
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.2.1',
    '192.168.1.1',
    '198.18.0.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '::127.0.0.1',
    '64:ff9b::7f00:1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fe80::1%eth0',
    'fec0::1',
    'ff02::1',
    '2001:0:7f00:1::',
    '2001:db8::1',
    '2002:7f00:1::',
    'localhost',
    '',
  ])('refuses %s', (address) => {
    expect(isPublicAddress(address)).toBe(false)
  })

  it.each([
    '1.1.1.1',
    '8.8.8.8',
    '100.63.255.255',
    '100.128.0.1',
    '172.15.0.1',
    '172.32.0.1',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2a00:1450::1',
  ])('allows %s', (address) => {
    expect(isPublicAddress(address)).toBe(true)
  })
})

describe('guardedLookup', () => {
  const look = (found: LookupAddress[], all: boolean) =>
    new Promise((resolve, reject) => {
      const names: Resolve = (_hostname, _options, callback) => callback(null, found)
      guardedLookup(isPublicAddress, names)('host.test', { all }, (error, address, family) =>
        error ? reject(error) : resolve([address, family]),
      )
    })

  it('answers with the first address, or with all', async () => {
    const found = [
      { address: '8.8.8.8', family: 4 },
      { address: '1.1.1.1', family: 4 },
    ]
    expect(await look(found, false)).toEqual(['8.8.8.8', 4])
    expect(await look(found, true)).toEqual([found, undefined])
  })

  it('refuses a name when one of its addresses is private', async () => {
    const found = [
      { address: '8.8.8.8', family: 4 },
      { address: '10.0.0.1', family: 4 },
    ]
    await expect(look(found, true)).rejects.toThrow(AddressRefused)
    await expect(look(found, false)).rejects.toThrow('host.test (10.0.0.1) is not a public address')
  })

  it('fails for a name without addresses', async () => {
    await expect(look([], true)).rejects.toThrow('host.test has no address')
  })
})
