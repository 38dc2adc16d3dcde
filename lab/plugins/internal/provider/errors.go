package provider

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
)

// plainError words an error of the service as the resource's provider family does.
func plainError(res *Resource, err error) error {
	if res.Framework {
		return err
	}
	return listed(err)
}

func listed(err error) error { return fmt.Errorf("1 error occurred:\n\t* %w\n\n", err) } //nolint:staticcheck

// initError says that the resource exists but could not be completed; the engine records it.
func initError(id string, props *structpb.Struct, reason string) error {
	return rpcerror.WithDetails(rpcerror.New(codes.Unknown, reason), &pulumirpc.ErrorResourceInitFailed{
		Id: id, Properties: props, Reasons: []string{reason},
	})
}
