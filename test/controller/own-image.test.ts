import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ownImage } from '../../src/controller/own-image.js';
import { StoredObjects } from '../support/stored-objects.js';

const PATH = '/api/v1/namespaces/sluice/pods/sluice-controller-1';

it('proxies get the image of the controller', async () => {
  const objects = new StoredObjects();
  const image = () => ownImage(objects, 'sluice', 'sluice-controller-1');
  await assert.rejects(image, /^Error: Pod sluice\/sluice-controller-1 does not say .* add --proxy-image$/);
  const controller = { name: 'controller', image: 'registry.test/sluice:1', imagePullPolicy: 'Always' };
  const other = { name: 'logs', image: 'logs:1' };
  objects.put(PATH, { spec: { containers: [other, controller] } });
  assert.deepEqual(await image(), { image: 'registry.test/sluice:1', imagePullPolicy: 'Always' });
  objects.put(PATH, { spec: { containers: [{ name: 'sluice', image: 'sluice:2' }] } });
  assert.deepEqual(await image(), { image: 'sluice:2', imagePullPolicy: 'IfNotPresent' });
  objects.put(PATH, { spec: { containers: [other, { ...other, name: 'more' }] } });
  await assert.rejects(image);
});
