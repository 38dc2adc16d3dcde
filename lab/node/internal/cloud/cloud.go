// Package cloud is what the pods of Hetzner's cloud controller manager and CSI driver do. Kubernetes' own cloud controllers run
// against the emulated Hetzner API as long as such a pod runs, with the settings of its environment.
package cloud

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// lookInterval is how often pods are looked at; a container takes longer to start.
const lookInterval = 2 * time.Second

// application is a container that does something at Hetzner.
type application struct {
	name string
	// image is the last part of the image's name.
	image string
	// needs are variables without which the container is another one of the same image.
	needs []string
	run   func(ctx context.Context, client kubernetes.Interface, env environment) error
}

var applications = []application{
	{"cloud controller", "hcloud-cloud-controller-manager", []string{"HCLOUD_TOKEN"}, runController},
	{"CSI controller", "hcloud-csi-driver", []string{"HCLOUD_TOKEN"}, runVolumes},
	{"certificate approver", "kubelet-serving-cert-approver", nil, runApprover},
}

// environment is the variables of a container.
type environment map[string]string

// Run plays the containers of one cluster until ctx ends.
func Run(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}

	running := make([]*play, len(applications))

	defer func() {
		for _, one := range running {
			one.stop()
		}
	}()

	for ctx.Err() == nil {
		for i, app := range applications {
			env, err := app.find(ctx, client)

			switch {
			case err != nil:
				// Nothing is known while the API does not answer; whatever runs goes on.
			case env == nil || running[i] != nil && !maps.Equal(running[i].env, env):
				running[i].stop()
				running[i] = nil
			case running[i] == nil || running[i].ended():
				running[i] = start(ctx, app, client, env)
			}
		}

		select {
		case <-ctx.Done():
		case <-time.After(lookInterval):
		}
	}

	return nil
}

type play struct {
	env    environment
	cancel context.CancelFunc
	done   chan struct{}
}

func start(ctx context.Context, app application, client kubernetes.Interface, env environment) *play {
	ctx, cancel := context.WithCancel(ctx)
	one := &play{env: env, cancel: cancel, done: make(chan struct{})}

	go func() {
		defer close(one.done)

		if err := app.run(ctx, client, env); err != nil && ctx.Err() == nil {
			log.Printf("%s: %s", app.name, err)
		}
	}()

	return one
}

func (p *play) stop() {
	if p != nil {
		p.cancel()
		<-p.done
	}
}

func (p *play) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// find returns the environment of the oldest container that runs; nil without one.
func (a application) find(ctx context.Context, client kubernetes.Interface) (environment, error) {
	list, err := client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}

	slices.SortFunc(list.Items, func(a, b corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})

	for i := range list.Items {
		pod := &list.Items[i]
		if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
			continue
		}

		for j := range pod.Spec.Containers {
			container := &pod.Spec.Containers[j]
			if !a.is(container.Image) {
				continue
			}

			env, err := resolve(ctx, client, container)
			if err != nil {
				return nil, err
			}

			if a.complete(env) && reaches(ctx, client, pod, env) {
				return env, nil
			}
		}
	}

	return nil, nil
}

func (a application) is(image string) bool {
	name := image[strings.LastIndex(image, "/")+1:]
	name, _, _ = strings.Cut(name, ":")

	return name == a.image
}

func (a application) complete(env environment) bool {
	for _, name := range a.needs {
		if env[name] == "" {
			return false
		}
	}

	return true
}

// reaches tells whether a container gets to the Kubernetes API: through the service only where a CNI has made it work.
func reaches(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, env environment) bool {
	if env["KUBERNETES_SERVICE_HOST"] != "" {
		return true
	}

	node, err := client.CoreV1().Nodes().Get(ctx, pod.Spec.NodeName, metav1.GetOptions{})
	if err != nil {
		return false
	}

	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func resolve(ctx context.Context, client kubernetes.Interface, container *corev1.Container) (environment, error) {
	env := environment{}

	for _, variable := range container.Env {
		if variable.ValueFrom == nil {
			env[variable.Name] = variable.Value

			continue
		}

		from := variable.ValueFrom.SecretKeyRef
		if from == nil {
			continue
		}

		secret, err := client.CoreV1().Secrets(metav1.NamespaceSystem).Get(ctx, from.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", from.Name, err)
		}

		env[variable.Name] = string(secret.Data[from.Key])
	}

	for _, arg := range slices.Concat(container.Command, container.Args) {
		if name, value, found := strings.Cut(strings.TrimPrefix(arg, "--"), "="); found {
			env["--"+name] = value
		}
	}

	return env, nil
}
