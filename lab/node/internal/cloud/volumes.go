package cloud

import (
	"context"
	"fmt"
	"log"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	driver = "csi.hetzner.cloud"
	// smallest is Hetzner's smallest volume in gigabytes.
	smallest = 10
	// deleting keeps a PersistentVolume until its volume is gone, detaching a VolumeAttachment until it is detached.
	deleting  = "external-provisioner.volume.kubernetes.io/finalizer"
	detaching = "external-attacher/csi-hetzner-cloud"

	annotationProvisioner  = "volume.kubernetes.io/storage-provisioner"
	annotationSelectedNode = "volume.kubernetes.io/selected-node"
	annotationProvisioned  = "pv.kubernetes.io/provisioned-by"
)

// volumes is the CSI driver's controller with its provisioner and its attacher.
type volumes struct {
	kubernetes kubernetes.Interface
	hetzner    *hcloud.Client
	env        environment
}

func runVolumes(ctx context.Context, client kubernetes.Interface, env environment) error {
	v := &volumes{kubernetes: client, hetzner: newClient(env), env: env}

	for ctx.Err() == nil {
		for _, step := range []func(context.Context) error{v.provision, v.attach, v.release} {
			if err := step(ctx); err != nil && ctx.Err() == nil {
				// The sidecars try again, one after the other.
				log.Printf("CSI controller: %s", err)
			}
		}

		select {
		case <-ctx.Done():
		case <-time.After(lookInterval):
		}
	}

	return nil
}

// provision makes volumes for claims that wait for one.
func (v *volumes) provision(ctx context.Context) error {
	claims, err := v.kubernetes.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}

	for i := range claims.Items {
		claim := &claims.Items[i]
		if claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil || claim.Annotations[annotationProvisioner] != driver || claim.Spec.StorageClassName == nil {
			continue
		}

		class, err := v.kubernetes.StorageV1().StorageClasses().Get(ctx, *claim.Spec.StorageClassName, metav1.GetOptions{})
		if err != nil {
			return err
		}

		waits := class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
		if waits && claim.Annotations[annotationSelectedNode] == "" {
			continue
		}

		if err := v.make(ctx, claim, class); err != nil {
			return fmt.Errorf("claim %s/%s: %w", claim.Namespace, claim.Name, err)
		}
	}

	return nil
}

func (v *volumes) make(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	name := "pvc-" + string(claim.UID)
	wanted := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	size := max(int((wanted.Value()+(1<<30)-1)>>30), smallest)

	volume, _, err := v.hetzner.Volume.GetByName(ctx, name)
	if err != nil {
		return err
	}

	if volume == nil {
		labels := map[string]string{
			"managed-by": "csi-driver", "pvc-name": claim.Name, "pvc-namespace": claim.Namespace, "pv-name": name,
		}
		maps.Copy(labels, extraLabels(v.env["HCLOUD_VOLUME_EXTRA_LABELS"]))

		location, err := v.location(ctx, claim.Annotations[annotationSelectedNode])
		if err != nil {
			return err
		}

		made, _, err := v.hetzner.Volume.Create(ctx, hcloud.VolumeCreateOpts{
			Name: name, Size: size, Location: &hcloud.Location{Name: location}, Labels: labels,
		})
		if err != nil {
			return err
		}

		if err := v.hetzner.Action.WaitFor(ctx, made.Action); err != nil {
			return err
		}

		volume = made.Volume
	}

	_, err = v.kubernetes.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Finalizers: []string{deleting}, Annotations: map[string]string{annotationProvisioned: driver},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: *resource.NewQuantity(int64(volume.Size)<<30, resource.BinarySI)},
			AccessModes: claim.Spec.AccessModes,
			ClaimRef: &corev1.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			StorageClassName:              class.Name,
			VolumeMode:                    claim.Spec.VolumeMode,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				CSI: &corev1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: strconv.FormatInt(volume.ID, 10)},
			},
		},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}

	return err
}

// location is where the pod runs; without one it is the driver's own.
func (v *volumes) location(ctx context.Context, node string) (string, error) {
	if node == "" {
		return v.env["HCLOUD_VOLUME_DEFAULT_LOCATION"], nil
	}

	server, _, err := v.hetzner.Server.GetByName(ctx, node)
	if err != nil {
		return "", err
	}

	if server == nil {
		return "", fmt.Errorf("node %s has no server", node)
	}

	return server.Location.Name, nil
}

func extraLabels(text string) map[string]string {
	labels := map[string]string{}

	for pair := range strings.SplitSeq(text, ",") {
		if key, value, found := strings.Cut(pair, "="); found {
			labels[key] = value
		}
	}

	return labels
}

// attach attaches volumes to the servers of the nodes that need them, and detaches them.
func (v *volumes) attach(ctx context.Context) error {
	list, err := v.kubernetes.StorageV1().VolumeAttachments().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}

	for i := range list.Items {
		attachment := &list.Items[i]
		if attachment.Spec.Attacher != driver || attachment.Spec.Source.PersistentVolumeName == nil {
			continue
		}

		if err := v.attachOne(ctx, attachment); err != nil {
			return fmt.Errorf("attachment %s: %w", attachment.Name, err)
		}
	}

	return nil
}

func (v *volumes) attachOne(ctx context.Context, attachment *storagev1.VolumeAttachment) error {
	volume, _, err := v.hetzner.Volume.GetByName(ctx, *attachment.Spec.Source.PersistentVolumeName)
	if err != nil {
		return err
	}

	attachments := v.kubernetes.StorageV1().VolumeAttachments()

	if attachment.DeletionTimestamp != nil {
		if volume != nil && volume.Server != nil {
			if err := v.await(ctx)(v.hetzner.Volume.Detach(ctx, volume)); err != nil {
				return err
			}
		}

		attachment.Finalizers = slices.DeleteFunc(attachment.Finalizers, func(f string) bool { return f == detaching })
		_, err = attachments.Update(ctx, attachment, metav1.UpdateOptions{})

		return err
	}

	if attachment.Status.Attached || volume == nil {
		return nil
	}

	if !slices.Contains(attachment.Finalizers, detaching) {
		attachment.Finalizers = append(attachment.Finalizers, detaching)

		if attachment, err = attachments.Update(ctx, attachment, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}

	if volume.Server == nil {
		server, _, err := v.hetzner.Server.GetByName(ctx, attachment.Spec.NodeName)
		if err != nil || server == nil {
			return err
		}

		if err := v.await(ctx)(v.hetzner.Volume.Attach(ctx, volume, server)); err != nil {
			return err
		}
	}

	attachment.Status.Attached = true
	_, err = attachments.UpdateStatus(ctx, attachment, metav1.UpdateOptions{})

	return err
}

// await waits for an action of the API.
func (v *volumes) await(ctx context.Context) func(*hcloud.Action, *hcloud.Response, error) error {
	return func(action *hcloud.Action, _ *hcloud.Response, err error) error {
		if err != nil {
			return err
		}

		return v.hetzner.Action.WaitFor(ctx, action)
	}
}

// release deletes the volumes of claims that are gone.
func (v *volumes) release(ctx context.Context) error {
	list, err := v.kubernetes.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}

	for i := range list.Items {
		pv := &list.Items[i]
		if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != driver || pv.Status.Phase != corev1.VolumeReleased {
			continue
		}

		if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
			if err := v.delete(ctx, pv); err != nil {
				return fmt.Errorf("volume %s: %w", pv.Name, err)
			}
		}
	}

	return nil
}

func (v *volumes) delete(ctx context.Context, pv *corev1.PersistentVolume) error {
	volume, _, err := v.hetzner.Volume.GetByName(ctx, pv.Name)
	if err != nil {
		return err
	}

	if volume != nil {
		if volume.Server != nil {
			// Its attachment goes first.
			return nil
		}

		if _, err := v.hetzner.Volume.Delete(ctx, volume); err != nil {
			return err
		}
	}

	if err := v.kubernetes.CoreV1().PersistentVolumes().Delete(ctx, pv.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}

	fresh, err := v.kubernetes.CoreV1().PersistentVolumes().Get(ctx, pv.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}

	if err != nil {
		return err
	}

	fresh.Finalizers = slices.DeleteFunc(fresh.Finalizers, func(f string) bool { return f == deleting })
	_, err = v.kubernetes.CoreV1().PersistentVolumes().Update(ctx, fresh, metav1.UpdateOptions{})

	return err
}
