package cloud

import (
	"context"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// runApprover approves the serving certificates that kubelets ask for.
func runApprover(ctx context.Context, client kubernetes.Interface, _ environment) error {
	requests := client.CertificatesV1().CertificateSigningRequests()

	for ctx.Err() == nil {
		list, err := requests.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}

		for i := range list.Items {
			request := &list.Items[i]
			if request.Spec.SignerName != certificatesv1.KubeletServingSignerName || len(request.Status.Conditions) > 0 {
				continue
			}

			request.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{
				Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "AutoApproved",
				Message: "Auto approving kubelet serving certificate after SubjectAccessReview.",
			}}

			if _, err := requests.UpdateApproval(ctx, request.Name, request, metav1.UpdateOptions{}); err != nil {
				return err
			}
		}

		select {
		case <-ctx.Done():
		case <-time.After(lookInterval):
		}
	}

	return nil
}
