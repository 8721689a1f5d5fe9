// What a kubelet reports of a pod: its phase, addresses and conditions, and the state of each container.
import type { RunningPod } from './kubelet.js';
import type { ContainerLife } from './pod-container-life.js';
import { isSidecar } from './pod-objects.js';

function stateOf({ process, code }: ContainerLife, trouble: string): object {
  const ended = code ?? process?.code ?? null;
  if (ended !== null) return { terminated: { exitCode: ended, reason: ended === 0 ? 'Completed' : 'Error' } };
  if (process !== null) return { running: {} };
  return {
    waiting:
      trouble === '' ? { reason: 'PodInitializing' } : { reason: 'CreateContainerConfigError', message: trouble },
  };
}

function containerStatus(life: ContainerLife, trouble: string): object {
  const { spec, started, ready, restarts, code } = life;
  return {
    name: spec.name,
    image: spec.image,
    imageID: '',
    ready: ready || (code === 0 && !isSidecar(spec)),
    started,
    restartCount: restarts,
    state: stateOf(life, trouble),
  };
}

export function statusOf(running: RunningPod): object {
  const { pod, phase, initialized, containers, trouble, place, ready } = running;
  const over = phase === 'Succeeded' || phase === 'Failed';
  const condition = (type: string, holds: boolean): object => ({ type, status: holds ? 'True' : 'False' });
  const count = pod.spec.initContainers?.length ?? 0;
  return {
    phase,
    hostIP: place.hostIp,
    hostIPs: [{ ip: place.hostIp }],
    podIP: place.ips[0],
    podIPs: place.ips.map((ip) => ({ ip })),
    conditions: [
      condition('PodScheduled', true),
      condition('Initialized', initialized),
      condition('ContainersReady', ready && !over),
      condition('Ready', ready && !over),
    ],
    initContainerStatuses: containers.slice(0, count).map((life) => containerStatus(life, trouble)),
    containerStatuses: containers.slice(count).map((life) => containerStatus(life, trouble)),
  };
}
